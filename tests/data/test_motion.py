import numpy as np
import pytest

from strrn.core.landmarks import load_scheme
from strrn.data.motion import MotionParameters, synthetic_motion
from tests.models.small import reference_shape

SCHEME = load_scheme("ibug68")
STILL = {"shift": 0.0, "turn": 0.0, "zoom": 0.0, "deform": 0.0, "noise": 0.0, "slowest": 1.0}


def moved(seed: int = 0, **changes: float) -> np.ndarray:
    return synthetic_motion(reference_shape(), SCHEME, MotionParameters(**{**STILL, **changes}), np.random.default_rng(seed))


def test_without_motion_the_shape_stays():
    np.testing.assert_allclose(moved(), reference_shape(), atol=1e-4)


def test_shift_has_the_given_standard_deviation_in_units_of_d():
    d = float(SCHEME.distance(reference_shape()))
    offsets = np.stack([(moved(seed, shift=0.1) - reference_shape())[0] for seed in range(2000)])
    assert offsets.std(0) == pytest.approx([0.1 * d] * 2, rel=0.06)


def test_a_similarity_keeps_the_shape():
    start, shape = moved(3, shift=0.2, turn=10.0, zoom=0.2), reference_shape()

    def lengths(points: np.ndarray) -> np.ndarray:
        return np.linalg.norm(np.diff(points, axis=0), axis=1)

    ratios = lengths(start) / lengths(shape)
    assert ratios.std() < 1e-4
    assert abs(ratios.mean() - 1) > 1e-3


def test_slow_motion_is_as_likely_as_fast_motion():
    sizes = np.array([np.abs(moved(seed, noise=0.1, slowest=0.1) - reference_shape()).mean() for seed in range(600)])
    # Log-uniform strength: half of the samples lie below the geometric mean of the range.
    full = np.abs(moved(0, noise=0.1) - reference_shape()).mean()
    assert (sizes < full * 0.1**0.5).mean() == pytest.approx(0.5, abs=0.08)


def test_unlabelled_points_start_at_the_mean_of_the_others():
    points = reference_shape()
    points[5] = np.nan
    start = synthetic_motion(points, SCHEME, MotionParameters(**STILL), np.random.default_rng(0))
    np.testing.assert_allclose(start[5], np.nanmean(points, 0), atol=1e-3)
    assert np.isfinite(start).all()
