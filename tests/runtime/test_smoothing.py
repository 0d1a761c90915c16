import numpy as np
import pytest

from strrn.core.confidence import expected_error
from strrn.runtime.smoothing import Smoother

D = 100.0
SHAPE = np.random.default_rng(0).uniform(0, 200, (30, 2)).astype(np.float32)


def confidence(error: float, count: int = len(SHAPE)) -> np.ndarray:
    """Of points whose expected error is `error` d."""
    return np.full(count, 1 - np.exp(-0.05 / error), np.float32)


def test_expected_error_is_the_inverse_of_the_confidence():
    for error in (0.01, 0.05, 0.3):
        np.testing.assert_allclose(expected_error(confidence(error)), error, rtol=1e-4)
    assert np.isfinite(expected_error(np.array([0.0, 1.0]))).all()


@pytest.mark.parametrize("error", [0.01, 0.2])
def test_what_the_face_does_as_a_whole_is_not_delayed(error):
    smoother, before = Smoother(0.06, D), SHAPE
    linear = np.array([[1.05, -0.1], [0.1, 1.05]])
    for _ in range(5):
        after = (before @ linear.T + (7, -3)).astype(np.float32)
        np.testing.assert_allclose(smoother(before, after, confidence(error)), after, rtol=1e-4, atol=1e-2)
        before = after


def test_an_unsure_point_stays_with_the_face_and_a_sure_one_moves():
    seen = SHAPE.copy()
    seen[0, 0] += 20
    for error, low, high in ((0.01, 18, 20), (0.5, 0, 5)):
        sure = confidence(0.01)
        sure[0] = confidence(error, 1)[0]
        smoother = Smoother(0.06, D)
        for _ in range(4):  # the gain settles
            smoother(SHAPE, SHAPE, sure)
        moved = smoother(SHAPE, seen, sure)
        assert low <= moved[0, 0] - SHAPE[0, 0] <= high
        np.testing.assert_allclose(moved[1:], SHAPE[1:], atol=1.0)


def test_noise_falls_by_what_the_gain_says():
    rng = np.random.default_rng(1)
    smoother, before, errors = Smoother(0.02, D), SHAPE, []
    for _ in range(300):
        seen = SHAPE + rng.normal(0, 5, SHAPE.shape).astype(np.float32)
        before = smoother(before, seen, confidence(0.05))
        errors.append(before - SHAPE)
    # Settled: V = V_old (1 - g) + q^2 with q = 0.02, s = 0.05 -> g = 0.33; a first-order filter passes g / (2 - g) of the variance.
    assert np.std(errors[50:]) == pytest.approx(5 * np.sqrt(0.33 / (2 - 0.33)), rel=0.15)


def test_more_time_lets_points_move_more():
    seen = SHAPE.copy()
    seen[0, 0] += 20
    moves = []
    for elapsed in (1.0, 10.0):
        smoother = Smoother(0.02, D)
        for _ in range(20):
            smoother(SHAPE, SHAPE, confidence(0.1))
        moves.append(smoother(SHAPE, seen, confidence(0.1), elapsed)[0, 0] - SHAPE[0, 0])
    assert moves[1] > 1.5 * moves[0]


def test_off_and_not_finite_pass_through():
    seen = SHAPE + 1
    assert Smoother(0.0, D)(SHAPE, seen, confidence(0.5)) is seen
    seen[3] = np.nan
    np.testing.assert_array_equal(Smoother(0.06, D)(SHAPE, seen, confidence(0.5)), seen)
