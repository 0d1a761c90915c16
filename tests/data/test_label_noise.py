"""Noise along a contour, and errors split along and across it."""

import numpy as np
import pytest

from strrn.core.landmarks import load_scheme
from strrn.data.datasets import LabelledCrops
from strrn.data.label_noise import ContourNoiseParameters, directions_along, split_errors, with_contour_noise

SCHEME = load_scheme("ibug68")
CONTOUR = list(SCHEME.components["cheek"])
NOISE = ContourNoiseParameters("cheek", 0.1)
NAN = float("nan")


def faces(count: int) -> LabelledCrops:
    """Faces whose contour is the lower half of a circle about (100, 100), radius 80, and whose d is 40."""
    angles = np.linspace(np.pi, 0, 17)
    points = np.full((68, 2), 50.0, np.float32)
    points[CONTOUR] = np.column_stack([100 + 80 * np.cos(angles), 100 + 80 * np.sin(angles)])
    points[36:42], points[42:48] = (80, 90), (120, 90)
    return LabelledCrops([b""] * count, np.repeat(points[None], count, 0), np.ones((count, 68), bool))


def test_directions_of_a_circle_are_its_tangents():
    (found,) = directions_along(faces(1).points[:, CONTOUR])
    radius = faces(1).points[0, CONTOUR] - 100
    across = np.abs((found * radius).sum(-1)) / 80
    # Neighbours at equal distance: their chord is parallel to the tangent; at the ends it is off by half of 180 / 16 degrees.
    assert across[1:-1].max() < 1e-6 and across[[0, -1]] == pytest.approx(np.sin(np.deg2rad(180 / 32)), rel=1e-4)
    np.testing.assert_allclose(np.linalg.norm(found, axis=-1), 1)


def test_a_neighbour_that_is_not_labelled_is_not_used():
    line = np.array([[[0, 0], [3, 4], [NAN, NAN], [9, 4], [9, 9], [NAN, NAN], [1, 1]]])
    expected = [[0.6, 0.8], [0.6, 0.8], [NAN, NAN], [0, 1], [0, 1], [NAN, NAN], [NAN, NAN]]
    np.testing.assert_allclose(directions_along(line)[0], expected)


def test_noise_has_the_deviation_asked_for_and_lies_along_the_contour():
    crops = faces(400)
    noisy = with_contour_noise(crops, SCHEME, NOISE, 0)
    errors = split_errors(noisy.points, crops.points, SCHEME, NOISE)
    # 6800 draws: the standard error of a root mean square is 0.1 / sqrt(2 * 6800) = 0.0009.
    assert errors["error"] == pytest.approx(0.1, abs=0.003) and errors["along"] == pytest.approx(errors["error"], rel=1e-4)
    assert errors["normal"] < 1e-5
    others = np.delete(np.arange(68), CONTOUR)
    assert np.array_equal(noisy.points[:, others], crops.points[:, others]) and noisy.points.dtype == np.float32


def test_the_errors_of_a_crop_depend_on_seed_and_row_alone():
    few, many = (with_contour_noise(faces(count), SCHEME, NOISE, (3, 1)).points for count in (2, 5))
    assert np.array_equal(few, many[:2]) and not np.array_equal(many[0], many[1])
    assert not np.array_equal(few, with_contour_noise(faces(2), SCHEME, NOISE, (3, 2)).points)


def test_what_is_not_labelled_stays_so_and_what_is_stays():
    crops = faces(2)
    crops.points[0, 3] = NAN
    crops.points[1, 36] = NAN  # d is unknown
    noisy = with_contour_noise(crops, SCHEME, NOISE, 0).points
    assert np.array_equal(np.isnan(noisy), np.isnan(crops.points))
    np.testing.assert_array_equal(noisy[1], crops.points[1])
    assert not np.array_equal(noisy[0, 4], crops.points[0, 4])


def test_without_deviation_nothing_changes_and_inputs_never_do():
    crops = faces(2)
    before = crops.points.copy()
    assert np.array_equal(with_contour_noise(crops, SCHEME, ContourNoiseParameters("cheek", 0.0), 0).points, before)
    with_contour_noise(crops, SCHEME, NOISE, 0)
    assert np.array_equal(crops.points, before)


def test_errors_are_split_along_and_across():
    crops = faces(1)
    points = crops.points.copy()
    points[0, 8] += (4, 3)  # at the chin the contour runs along x; d = 40
    errors = split_errors(points, crops.points, SCHEME, NOISE)
    # One of 17 points: sqrt(0.1^2 / 17), sqrt(0.075^2 / 17), sqrt(0.125^2 / 17).
    expected = {"along": 0.1, "normal": 0.075, "error": 0.125}
    assert errors == pytest.approx({name: value / np.sqrt(17) for name, value in expected.items()}, rel=1e-4)


def test_wrong_parameters_are_refused():
    with pytest.raises(ValueError, match=r"deviation must not be negative, found -0.1"):
        ContourNoiseParameters("cheek", -0.1)
    with pytest.raises(ValueError, match="has no component 'jaw'; it has"):
        ContourNoiseParameters("jaw", 0.1).landmarks(SCHEME)
