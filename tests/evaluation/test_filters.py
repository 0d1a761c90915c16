import numpy as np

from strrn.core import metrics
from strrn.evaluation.filters import exponential_average, face_average, one_euro
from strrn.evaluation.tradeoff import at_same_lag, calmest

SHAPE = np.array([[0, 0], [40, 0], [20, 25], [5, 45], [35, 45]], float)


def walk(frames: int = 60) -> np.ndarray:
    """(T, L, 2): a face that moves and turns."""
    time = np.arange(frames)[:, None, None]
    angle = 0.2 * np.sin(time / 9)[..., 0]
    turned = np.stack(
        [SHAPE[:, 0] * np.cos(angle) - SHAPE[:, 1] * np.sin(angle), SHAPE[:, 0] * np.sin(angle) + SHAPE[:, 1] * np.cos(angle)], -1
    )
    return turned + np.concatenate([100 + 30 * np.sin(time / 8), 80 + 2.0 * time], -1)


def lag(points: np.ndarray, truth: np.ndarray) -> float:
    return metrics.lag_e1([metrics.lag_sums(points, truth, np.full(len(truth), 40.0), np.ones(truth.shape[:2], bool))])


def test_the_exponential_average_by_hand():
    points = np.array([0.0, 1.0, 1.0, np.nan, 5.0, 7.0])[:, None, None] * np.ones((6, 1, 2))
    filtered = exponential_average(points, 0.25)[:, 0, 0]
    np.testing.assert_allclose(filtered, [0, 0.25, 0.4375, np.nan, 5.0, 5.5])  # begins anew after a frame without a face


def test_a_rigid_face_is_not_delayed_by_the_average_of_its_shape():
    truth = walk()
    np.testing.assert_allclose(face_average(truth, 0.2), truth, atol=1e-2)
    assert lag(exponential_average(truth, 0.5), truth) > 0.5


def test_the_average_of_the_shape_is_calmer():
    truth = walk()
    noisy = truth + np.random.default_rng(0).normal(0, 1, truth.shape)
    distance, valid = np.full(len(truth), 40.0), np.ones(truth.shape[:2], bool)
    jitter = [np.nanmean(metrics.residual_jitter(points, truth, distance, valid)) for points in (noisy, face_average(noisy, 0.3))]
    assert jitter[1] < 0.8 * jitter[0]


def test_one_euro_by_hand():
    """Two frames at 25 Hz: the speed is low-passed at 1 Hz, the cutoff follows it."""
    points = np.zeros((2, 1, 2))
    points[1, 0] = [4.0, 0.0]
    filtered = one_euro(points, np.full(2, 10.0), 25.0, 2.0, 3.0)[1, 0]
    speed = 4.0 / 10 * 25 / (1 + 25 / (2 * np.pi))
    cutoff = 2.0 + 3.0 * speed
    np.testing.assert_allclose(filtered, [4.0 / (1 + 25 / (2 * np.pi * cutoff)), 0.0], rtol=1e-6)


def test_one_euro_follows_fast_motion_and_calms_a_still_face():
    truth = walk()
    distance = np.full(len(truth), 40.0)
    assert abs(lag(one_euro(truth, distance, 25.0, 1.0, 20.0), truth)) < abs(lag(one_euro(truth, distance, 25.0, 1.0, 0.0), truth)) / 3
    still = SHAPE + np.random.default_rng(0).normal(0, 0.5, (100, 5, 2))
    assert one_euro(still, distance, 25.0, 1.0, 0.0)[20:].std(0).mean() < 0.6 * still[20:].std(0).mean()


def row(series: str, setting: str, lag: float, jitter: float, panel: str = "first") -> dict:
    return {"panel": panel, "series": series, "setting": setting, "lag": lag, "jitter": jitter, "error": 0.0}


def test_a_filter_is_taken_at_brfs_lag_or_at_the_limit():
    filters = [row("average", str(n), *pair) for n, pair in enumerate([(0.02, 9.0), (0.09, 7.0), (0.15, 5.0), (0.4, 3.0)])]
    other = [row("average", "3", 0.0, 0.0, "second")]
    assert at_same_lag([row("brf", "", 0.03, 4.0), *filters, *other]) == {"average": "1"}
    assert at_same_lag([row("brf", "", -0.2, 4.0), *filters, *other]) == {"average": "2"}
    late = [row("average", "a", 0.5, 3.0), row("average", "b", 0.3, 4.0)]  # none is early enough: the earliest
    assert at_same_lag([row("brf", "", 0.0, 4.0), *late]) == {"average": "b"}


def test_of_settings_only_those_that_none_beats_are_drawn():
    rows = [row("f", "a", 0.3, 4.0), row("f", "b", 0.1, 6.0), row("f", "c", 0.2, 7.0), row("f", "d", 0.4, 2.0)]
    assert [one["setting"] for one in calmest(rows)] == ["b", "a", "d"]
