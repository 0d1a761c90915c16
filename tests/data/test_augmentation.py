import cv2
import numpy as np
import pytest
import torch

from strrn.core.landmarks import load_scheme
from strrn.data.augmentation import AugmentationParameters, augment, photometric
from strrn.models.patches import block_means

SCHEME = load_scheme("ibug68")
NOTHING = {
    "rotation": 0.0,
    "scale": 0.0,
    "shift": 0.0,
    "flip": False,
    "probability": 0.0,
    "gain": 0.0,
    "blur": 0.0,
    "motion": 0,
    "noise": 0.0,
    "low_resolution": 1.0,
    "occlusion": 0.0,
}
EVERYTHING = {"gain": 0.2, "blur": 2.0, "motion": 9, "noise": 10.0, "low_resolution": 0.3, "occlusion": 0.4, "probability": 1.0}


def parameters(**changes: object) -> AugmentationParameters:
    return AugmentationParameters(**{**NOTHING, **changes})


def dots(points: np.ndarray, size: int = 160) -> np.ndarray:
    """A picture with a small bright disc on every point."""
    image = np.zeros((size, size, 3), np.uint8)
    for x, y in points:
        cv2.circle(image, (round(float(x) * 16), round(float(y) * 16)), 32, (255, 255, 255), -1, cv2.LINE_AA, 4)
    return image


def centroid(image: np.ndarray, point: np.ndarray, radius: int = 4) -> np.ndarray:
    x, y = np.round(point).astype(int)
    window = image[y - radius : y + radius + 1, x - radius : x + radius + 1, 0].astype(float)
    rows, columns = np.mgrid[y - radius : y + radius + 1, x - radius : x + radius + 1]
    return np.array([(window * columns).sum(), (window * rows).sum()]) / window.sum()


@pytest.mark.parametrize("flip", [False, True])
def test_points_stay_on_their_pixels(flip):
    grid = np.stack(np.meshgrid(np.linspace(40, 118, 9), np.linspace(40, 118, 8)), -1).reshape(-1, 2)[:68].astype(np.float32)
    image, valid = dots(grid), np.ones(68, bool)
    for seed in range(6):
        settings = parameters(rotation=10.0, scale=0.05, shift=0.02, flip=flip)
        view, points, _ = augment(image, grid, valid, SCHEME, settings, np.random.default_rng(seed))
        inside = ((points > 8) & (points < 151)).all(1)
        assert inside.sum() > 20
        for point in points[inside]:
            np.testing.assert_allclose(centroid(view, point), point, atol=0.25)


@pytest.mark.parametrize("stride", [2, 3, 4])
def test_a_reduced_view_is_close_to_the_block_means_of_the_whole_one(stride):
    random = np.random.default_rng(0)
    image = cv2.GaussianBlur(random.integers(0, 256, (96, 96, 3), dtype=np.uint8), (0, 0), 3)
    points, valid = random.uniform(10, 50, (68, 2)).astype(np.float32), np.ones(68, bool)
    settings = parameters(rotation=10.0, scale=0.1, shift=0.05)
    whole, points_whole, _ = augment(image, points, valid, SCHEME, settings, np.random.default_rng(1))
    reduced, points_reduced, _ = augment(image, points, valid, SCHEME, settings, np.random.default_rng(1), stride)
    expected = block_means(torch.from_numpy(whole).permute(2, 0, 1)[None].float(), [stride])[stride][0].permute(1, 2, 0)
    # A shift by half a pixel of the crop would be a mean difference of 1 grey level.
    difference = np.abs(reduced - expected.numpy())[3:-3, 3:-3]
    assert difference.mean() < 0.5 and difference.max() < 2
    np.testing.assert_array_equal(points_reduced, points_whole)


def test_a_mirrored_point_takes_its_partners_place():
    points = np.random.default_rng(0).uniform(20, 140, (68, 2)).astype(np.float32)
    valid = np.arange(68) != 36  # the outer corner of the right eye is not labelled
    for seed in range(20):
        _, moved, known = augment(
            np.zeros((160, 160, 3), np.uint8), points, valid, SCHEME, parameters(flip=True), np.random.default_rng(seed)
        )
        if np.allclose(moved, points):
            continue
        np.testing.assert_allclose(moved, points[list(SCHEME.mirror)] * (-1, 1) + (159, 0), atol=1e-3)
        assert np.flatnonzero(~known).tolist() == [45]
        return
    pytest.fail("twenty seeds and not one mirrored")


def test_a_sample_is_a_function_of_its_seed_and_inputs_stay_unchanged():
    image = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    original = image.copy()
    points, valid = np.full((68, 2), 30.0, np.float32), np.ones(68, bool)
    settings = parameters(rotation=10.0, scale=0.1, shift=0.05, flip=True, **EVERYTHING)
    first, second = (augment(image, points, valid, SCHEME, settings, np.random.default_rng(7)) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(image, original)
    assert first[0].dtype == np.uint8


def test_without_strength_nothing_changes():
    image = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    np.testing.assert_array_equal(photometric(image.copy(), parameters(probability=1.0), np.random.default_rng(0)), image)


@pytest.mark.parametrize(("name", "value"), [("rotation", -1.0), ("probability", 1.5), ("low_resolution", -0.1)])
def test_values_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} must .*found {value}"):
        parameters(**{name: value})


def test_motion_blur_moves_nothing():
    point = np.array([[80.0, 80.0]])
    image = dots(point)[40:120, 40:120]
    middles = []
    for seed in range(60):
        blurred = photometric(image.copy(), parameters(motion=9, probability=1.0), np.random.default_rng(seed), 2)
        middles.append(centroid(blurred, point[0] - 40, radius=12))
    assert np.mean(middles, 0) == pytest.approx([40, 40], abs=0.08)
