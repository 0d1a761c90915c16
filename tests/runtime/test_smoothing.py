import numpy as np
import pytest

from strrn.core.confidence import expected_error
from strrn.runtime.smoothing import PoseFilter, Smoother

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


def placed(centre: tuple[float, float], growth: float = 1.0, degrees: float = 0.0) -> np.ndarray:
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return ((SHAPE - SHAPE.mean(0)) @ (growth * turn) + centre).astype(np.float32)


def test_a_face_at_rest_is_calm_and_keeps_its_shape():
    random, steadier, given, seen = np.random.default_rng(2), PoseFilter(0.02), [], []
    for _ in range(400):
        noise = random.normal(0, 0.005, 4)
        seen.append(placed((300 + D * noise[0], 200 + D * noise[1]), np.exp(noise[2]), np.degrees(noise[3])))
        given.append(steadier(seen[-1], D))
    restless = [np.abs(np.diff(points, 2, axis=0)).mean() for points in (np.stack(seen), np.stack(given))]
    assert restless[1] < 0.65 * restless[0]
    for points, own in zip(seen[::50], given[::50], strict=True):
        sides = [np.linalg.norm(each[1:] - each[:-1], axis=1) for each in (points, own)]
        np.testing.assert_allclose(sides[1] / sides[0], (sides[1] / sides[0]).mean(), rtol=1e-4)


def test_even_motion_is_not_late_and_a_leap_is_followed():
    steadier = PoseFilter(0.02)
    for frame in range(40):  # 3 % of d, 2 % and 2 degrees a frame, through half a turn and more
        seen = placed((3.0 * frame, -2.0 * frame), 1.02**frame, 150 + 2.0 * frame)
        given = steadier(seen, D * 1.02**frame)
    np.testing.assert_allclose(given, seen, atol=0.4)
    away = seen + (30, 0)
    assert (steadier(away, D) - seen)[:, 0].mean() > 28


def test_half_of_a_small_motion_and_three_quarters_of_a_larger_one_are_followed():
    for moved, share in ((0.01, 0.5), (2.0, 0.75), (50.0, 1.0)):
        steadier = PoseFilter(0.02)
        steadier(placed((100, 100)), D)
        assert (steadier(placed((100 + moved, 100)), D)[:, 0].mean() - 100) / moved == pytest.approx(share, abs=0.01)


def test_frames_with_one_timestamp_do_no_harm():
    steadier = PoseFilter(0.02)
    for frame, elapsed in enumerate((1.0, 1.0, 0.0, 1e-6, 1.0, 1.0)):
        seen = placed((100 + frame, 100))
        given = steadier(seen, D, elapsed)
        np.testing.assert_allclose(given, seen, atol=2.0)


def test_a_steadier_that_is_off_and_points_that_are_not_finite_pass_through():
    seen = placed((5, 5))
    assert PoseFilter(0.0)(seen, D) is seen
    seen[3] = np.nan
    assert PoseFilter(0.02)(seen, D) is seen
