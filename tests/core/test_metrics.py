"""Expected values are worked out by hand in the comments."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strrn.core import metrics
from strrn.core.geometry import CropTransform
from strrn.core.landmarks import load_scheme

INF, NAN = np.inf, np.nan


def points_of(*frames: list[tuple[float, float]]) -> np.ndarray:
    return np.array(frames, np.float32)


def all_valid(points: np.ndarray) -> np.ndarray:
    return np.ones(points.shape[:2], bool)


def walk(seed: int, frames: int = 30, landmarks: int = 7) -> np.ndarray:
    """A smooth path of a face-like set of points, (T, L, 2)."""
    random = np.random.default_rng(seed)
    shape = random.uniform(0, 100, (1, landmarks, 2))
    time = np.arange(frames)[:, None, None]
    return (shape + 20 * np.sin(time / 5 + random.uniform(0, 6, (1, landmarks, 2)))).astype(np.float32)


def test_nme_and_rmse_by_hand():
    truth = points_of([(0, 0), (10, 0)])
    points = points_of([(3, 4), (10, 12)])  # distances 5 and 12
    distance = np.array([10.0])
    np.testing.assert_allclose(metrics.mean_point_error(points, truth, all_valid(truth)), [8.5])  # (5 + 12) / 2
    np.testing.assert_allclose(metrics.nme(points, truth, distance, all_valid(truth)), [0.85])
    # sqrt((25 + 144) / 2) = sqrt(84.5) = 9.1924
    np.testing.assert_allclose(metrics.rmse(points, truth, distance, all_valid(truth)), [0.91924], atol=1e-5)


def test_only_valid_points_count_and_no_valid_point_gives_nan():
    truth = points_of([(0, 0), (10, 0)], [(0, 0), (10, 0)])
    points = truth + np.float32([[[3, 4], [100, 0]]])
    valid = np.array([[True, False], [False, False]])
    np.testing.assert_allclose(metrics.nme(points, truth, np.array([10.0, 10.0]), valid), [0.5, NAN])


def test_a_frame_without_prediction_has_an_infinite_error():
    truth = points_of([(0, 0), (10, 0)], [(0, 0), (10, 0)])
    points = truth.copy()
    points[1] = NAN
    errors = metrics.nme(points, truth, np.array([10.0, 10.0]), all_valid(truth))
    np.testing.assert_array_equal(errors, [0, INF])
    assert metrics.missing_rate(errors) == 0.5
    assert metrics.mean_over_frames([errors]) == 0.0


def test_inter_pupil_error_is_larger_than_inter_ocular_error():
    scheme = load_scheme("ibug68")
    truth = np.zeros((1, 68, 2), np.float32)
    truth[0, 36], truth[0, 39], truth[0, 42], truth[0, 45] = (0, 0), (30, 0), (60, 0), (90, 0)
    truth[0, [37, 38, 40, 41]], truth[0, [43, 44, 46, 47]] = (15, 0), (75, 0)
    points = truth + np.float32([0.9, 0])
    # Outer corners are 90 px apart, the means of the eyes 60 px: 0.9 / 90 and 0.9 / 60.
    for normaliser, expected in (("inter_ocular", 0.01), ("inter_pupil", 0.015)):
        errors = metrics.nme(points, truth, scheme.distance(truth, normaliser), all_valid(truth))
        np.testing.assert_allclose(errors, [expected], rtol=1e-5)


def test_box_normaliser_by_hand():
    truth = points_of([(0, 0), (8, 0), (8, 2), (50, 50)])
    valid = np.array([[True, True, True, False]])
    width, height = metrics.box_size(truth, valid)
    assert (width[0], height[0]) == (8, 2)
    np.testing.assert_allclose(metrics.box_distance(truth, valid), [4.0])  # sqrt(8 * 2)
    assert np.isnan(metrics.box_size(truth, np.zeros((1, 4), bool))[0][0])


def test_ced_auc_failure_and_percentiles_by_hand():
    errors = np.array([0.02, 0.04, 0.10, INF, NAN])  # four frames with truth, one of them without a face
    np.testing.assert_allclose(metrics.ced(errors, np.array([0.01, 0.02, 0.05, 0.08, 0.2])), [0, 0.25, 0.5, 0.5, 0.75])
    # (1 - 0.02 / 0.08) + (1 - 0.04 / 0.08) + 0 + 0 = 0.75 + 0.5, over four frames
    assert metrics.auc(errors, 0.08) == pytest.approx(1.25 / 4)
    assert metrics.failure_rate(errors, 0.08) == 0.5
    assert metrics.failure_rate(errors, 0.2) == 0.25
    assert metrics.percentile(errors, 50) == 0.04
    assert metrics.percentile(errors, 75) == 0.10
    assert metrics.percentile(errors, 99) == INF


def test_auc_is_the_area_under_the_ced():
    errors = np.random.default_rng(0).gamma(2.0, 0.02, 500)
    thresholds = np.linspace(0, 0.08, 20001)
    # The rectangle rule on a fine grid, as an independent computation.
    assert metrics.auc(errors, 0.08) == pytest.approx(metrics.ced(errors, thresholds).mean(), abs=1e-4)


def test_nothing_to_score_gives_nan():
    nothing = np.array([NAN])
    assert np.isnan([metrics.auc(nothing, 0.1), metrics.failure_rate(nothing, 0.1), metrics.percentile(nothing, 50)]).all()
    assert np.isnan(metrics.ced(nothing, np.array([0.1]))).all()
    assert np.isnan(metrics.mean_over_frames([])) and np.isnan(metrics.mean_over_videos([nothing])) and np.isnan(metrics.median(nothing))
    assert np.isnan(metrics.lag_e1([]))


def test_jitter_e3_by_hand():
    # One landmark jumps by 2 px and back, the other stands: second differences 4 and 0, halved 2 and 0; RMS = sqrt((4 + 0) / 2).
    points = points_of([(0, 0), (50, 0)], [(2, 0), (50, 0)], [(0, 0), (50, 0)])
    jitter = metrics.jitter_e3(points, np.full(3, 50.0), all_valid(points))
    np.testing.assert_allclose(jitter, [NAN, np.sqrt(2) / 50, NAN], rtol=1e-6)


def test_jitter_leaves_out_frames_beside_a_lost_one():
    points = np.zeros((6, 2, 2), np.float32)
    points[2] = NAN
    jitter = metrics.jitter_e3(points, np.ones(6), np.isfinite(points).all(-1))
    np.testing.assert_array_equal(jitter, [NAN, NAN, NAN, NAN, 0, NAN])


def test_rt_jitter_by_hand():
    # x: 0, 1, 0 -> |0 - 2 + 0| = 2, by a distance of 20.
    points = points_of([(0, 0)], [(1, 0)], [(0, 0)])
    np.testing.assert_allclose(metrics.rt_jitter(points, np.full(3, 20.0)), [[NAN], [0.1], [NAN]])


def test_residual_jitter_by_hand():
    truth = points_of([(0, 0), (9, 9)], [(5, 0), (9, 9)])
    points = points_of([(1, 0), (9, 9)], [(5, 1), (9, 9)])  # residuals (1, 0) -> (0, 1): change sqrt(2); the other 0
    jitter = metrics.residual_jitter(points, truth, np.full(2, 10.0), all_valid(truth))
    np.testing.assert_allclose(jitter, [NAN, np.sqrt(2) / 20], rtol=1e-6)


def test_constant_error_keeps_what_turns_with_the_face_and_loses_what_averages_out():
    angles = np.linspace(0, 2 * np.pi, 9)[:-1]
    turns = np.stack([[np.cos(angles), -np.sin(angles)], [np.sin(angles), np.cos(angles)]]).transpose(2, 0, 1)
    face, own = np.array([[-10, 0], [10, 0], [0, 15]], float), np.array([[3, 4], [0, 0], [0, 0]], float)
    truth = (face @ turns.transpose(0, 2, 1)).astype(np.float32)
    points = ((face + own) @ turns.transpose(0, 2, 1)).astype(np.float32)
    distance = np.full(8, 20.0)
    valid = all_valid(truth)
    # The first landmark is 5 px off in the face's own frame whatever its angle: 5 / 20 / 3 landmarks.
    assert metrics.constant_error(points, truth, distance, valid) == pytest.approx(5 / 20 / 3, rel=1e-5)
    wobble = np.where(np.arange(8) % 2, 2.0, -2.0)[:, None, None].astype(np.float32)
    assert metrics.constant_error(truth + wobble * (1, 0), truth, distance, valid) < 0.02
    still = np.repeat(truth[:1], 8, 0)
    assert metrics.constant_error(still + wobble, still, distance, valid) == pytest.approx(0, abs=1e-7)
    # Lost frames and landmarks without a truth are left out.
    points[3], valid[:, 2] = NAN, False
    assert metrics.constant_error(points, truth, distance, valid) == pytest.approx(5 / 20 / 2, rel=1e-5)
    assert np.isnan(metrics.constant_error(np.full_like(points, NAN), truth, distance, valid))
    assert np.isnan(metrics.constant_error(points[:1], truth[:1], distance[:1], valid[:1]))  # a single picture
    rare = all_valid(truth)
    rare[1:, 0] = False  # a truth in one of eight frames: its error there says nothing of the others
    assert metrics.constant_error(truth + own.astype(np.float32), truth, distance, rare) == pytest.approx(0, abs=1e-6)


def test_lag_by_hand():
    # Truth 0, 1, 3, 6: u = -1, -2, -3; the track halves every step: e = 0.5, 1.0, 1.5 ahead of the truth is -0.5 frames.
    truth = points_of([(0, 0)], [(1, 0)], [(3, 0)], [(6, 0)])
    points = points_of([(0, 0)], [(1.5, 0)], [(4, 0)], [(7.5, 0)])
    numerator, denominator = metrics.lag_sums(points, truth, np.ones(4), all_valid(truth))
    # Means off: u -> 1, 0, -1 and e -> -0.5, 0, 0.5: numerator -1, denominator 2.
    assert (numerator, denominator) == pytest.approx((-1.0, 2.0))
    assert metrics.lag_e1([(numerator, denominator)]) == pytest.approx(-0.5)


@given(seed=st.integers(0, 1000), delay=st.integers(0, 1), offset=st.floats(-30, 30))
@settings(max_examples=20, deadline=None)
def test_a_delayed_track_has_lag_one_whatever_its_bias(seed, delay, offset):
    path = walk(seed)
    truth = path[1:]
    points = path[1 - delay : len(path) - delay] + np.float32(offset)
    sums = metrics.lag_sums(points, truth, np.full(len(truth), 40.0), all_valid(truth))
    assert metrics.lag_e1([sums]) == pytest.approx(delay, abs=1e-4)


def test_lag_is_pooled_so_that_a_still_clip_does_not_explode():
    moving, still = walk(1), walk(2)[:1].repeat(30, 0)
    noise = np.random.default_rng(0).normal(0, 1, still.shape).astype(np.float32)
    sums = [
        metrics.lag_sums(moving[:-1], moving[1:], np.ones(29), all_valid(moving[1:])),
        metrics.lag_sums(still + noise, still, np.ones(30), all_valid(still)),
    ]
    assert metrics.lag_e1(sums) == pytest.approx(1.0)
    assert np.isnan(metrics.lag_e1(sums[1:]))


@given(angle=st.floats(-3, 3), scale=st.floats(0.2, 5), tx=st.floats(-100, 100), ty=st.floats(-100, 100), seed=st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_errors_do_not_change_under_a_similarity(angle, scale, tx, ty, seed):
    transform = CropTransform(scale * np.cos(angle), scale * np.sin(angle), tx, ty, 315)
    scheme = load_scheme("ibug68")
    truth = walk(seed, frames=6, landmarks=68)
    points = truth + np.random.default_rng(seed).normal(0, 2, truth.shape).astype(np.float32)
    moved_truth, moved = transform.to_crop(truth), transform.to_crop(points)
    distance, moved_distance = scheme.distance(truth), scheme.distance(moved_truth)
    valid = all_valid(truth)
    for function in (metrics.nme, metrics.rmse, metrics.residual_jitter):
        expected = function(points, truth, distance, valid)
        np.testing.assert_allclose(function(moved, moved_truth, moved_distance, valid), expected, rtol=2e-3, atol=1e-5)
    expected = metrics.jitter_e3(points, distance, valid)
    np.testing.assert_allclose(metrics.jitter_e3(moved, moved_distance, valid), expected, rtol=2e-3, atol=1e-5)


@pytest.mark.parametrize("velocity", [0.0, 3.0])
def test_a_track_that_stands_or_moves_evenly_does_not_jitter(velocity):
    points = np.zeros((8, 5, 2), np.float32) + np.arange(8, dtype=np.float32)[:, None, None] * velocity
    valid = all_valid(points)
    assert np.nanmax(metrics.jitter_e3(points, np.ones(8), valid)) == 0
    assert np.nanmax(metrics.rt_jitter(points, np.ones(8))) == 0
    assert np.nanmax(metrics.residual_jitter(points, points, np.ones(8), valid)) == 0


def test_mean_over_frames_and_over_videos_differ():
    videos = [np.array([1.0, 1.0, 1.0]), np.array([5.0, INF, NAN])]
    assert metrics.mean_over_frames(videos) == 2.0  # (1 + 1 + 1 + 5) / 4
    assert metrics.mean_over_videos(videos) == 3.0  # (1 + 5) / 2
    assert metrics.median(np.array([3.0, NAN, 1.0, 2.0])) == 2.0


def test_calibration_error_is_how_far_confidence_and_hits_are_apart():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(size=20_000)
    hit = rng.uniform(size=20_000) < confidence
    assert metrics.calibration_error(confidence, hit) < 0.02
    assert metrics.calibration_error(np.clip(confidence + 0.2, 0, 1), hit) == pytest.approx(0.2, abs=0.03)
    # Too sure where unsure, too unsure where sure: the mean is right, the bins are not.
    assert metrics.calibration_error(np.array([0.2, 0.8]), np.array([False, True]), bins=2) == pytest.approx(0.2)
    assert np.isnan(metrics.calibration_error(np.zeros(0), np.zeros(0, bool)))


def test_inputs_are_not_changed():
    truth = walk(3)
    points, before = truth + 1, truth.copy()
    valid = all_valid(truth)
    valid[4] = False
    metrics.nme(points, truth, np.ones(30), valid)
    metrics.jitter_e3(truth, np.ones(30), valid)
    metrics.lag_sums(points, truth, np.ones(30), valid)
    np.testing.assert_array_equal(truth, before)
