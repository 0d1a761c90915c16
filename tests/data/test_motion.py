import numpy as np
import pytest

from strrn.core.landmarks import load_scheme
from strrn.data.motion import MotionParameters, SyntheticMotion, synthetic_motion
from tests.models.small import reference_shape

SCHEME = load_scheme("ibug68")
STILL = {"shift": 0.0, "turn": 0.0, "zoom": 0.0, "deform": 0.0, "noise": 0.0, "slowest": 1.0, "length": 4, "interleaved": 1}


REFERENCE = reference_shape()


def moved(seed: int = 0, **changes: float) -> np.ndarray:
    return synthetic_motion(REFERENCE[None], SCHEME, MotionParameters(**{**STILL, **changes}), np.random.default_rng(seed))[0]


def test_without_motion_the_shape_stays():
    np.testing.assert_allclose(moved(), REFERENCE, atol=1e-4)


def test_shift_has_the_given_standard_deviation_in_units_of_d():
    d = float(SCHEME.distance(REFERENCE))
    offsets = np.stack([(moved(seed, shift=0.1) - REFERENCE)[0] for seed in range(2000)])
    assert offsets.std(0) == pytest.approx([0.1 * d] * 2, rel=0.06)


def test_a_similarity_keeps_the_shape():
    start, shape = moved(3, shift=0.2, turn=10.0, zoom=0.2), REFERENCE

    def lengths(points: np.ndarray) -> np.ndarray:
        return np.linalg.norm(np.diff(points, axis=0), axis=1)

    ratios = lengths(start) / lengths(shape)
    assert ratios.std() < 1e-4
    assert abs(ratios.mean() - 1) > 1e-3


def test_slow_motion_is_as_likely_as_fast_motion():
    sizes = np.array([np.abs(moved(seed, noise=0.1, slowest=0.1) - REFERENCE).mean() for seed in range(600)])
    # Log-uniform strength: half of the samples lie below the geometric mean of the range.
    full = np.abs(moved(0, noise=0.1) - REFERENCE).mean()
    assert (sizes < full * 0.1**0.5).mean() == pytest.approx(0.5, abs=0.08)


def test_a_video_starts_from_the_reference_shape_laid_on_the_known_points():
    # A face that is the reference shape, turned and enlarged, with one point unknown and one far off.
    turned = REFERENCE @ np.array([[1.1, 0.2], [-0.2, 1.1]], np.float32) + 5
    points = turned.copy()
    points[5] = np.nan
    start, moves = SyntheticMotion(SCHEME, REFERENCE, 64, MotionParameters(**STILL))(points, np.random.default_rng(0))
    np.testing.assert_allclose(start, turned, atol=1e-3)
    assert moves.shape == (3, 68, 2)
    np.testing.assert_allclose(moves, 0, atol=1e-3)


def test_the_first_start_tells_nothing_of_the_face_beyond_a_similarity():
    random = np.random.default_rng(1)
    faces = [REFERENCE + random.normal(size=(68, 2)).astype(np.float32) for _ in range(2)]
    motion = SyntheticMotion(SCHEME, REFERENCE, 64, MotionParameters(**STILL))
    shapes = [motion(face, np.random.default_rng(0))[0] for face in faces]
    centred = [shape - shape.mean(0) for shape in shapes]
    unit = [shape / np.linalg.norm(shape) for shape in centred]
    # The same shape but for the turn, which noise of a pixel hardly changes.
    np.testing.assert_allclose(np.linalg.norm(unit[0], axis=1), np.linalg.norm(unit[1], axis=1), atol=1e-4)


def test_moves_differ_from_frame_to_frame():
    _, moves = SyntheticMotion(SCHEME, REFERENCE, 64, MotionParameters(**{**STILL, "shift": 0.1}))(REFERENCE, np.random.default_rng(0))
    assert np.abs(np.diff(moves[:, 0], axis=0)).min() > 0.01
