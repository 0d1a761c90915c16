import numpy as np
import pytest

from strrn.core.landmarks import load_scheme
from strrn.core.tables import predictions_schema, truth_schema, write_table
from strrn.evaluation.predictions import ClipPredictions, ClipTruth, hidden_share, read_predictions, read_truth
from strrn.evaluation.score import frame_rows, score_with_truth, score_without_truth, without_nan

SCHEME = load_scheme("ibug68")
L = SCHEME.num_landmarks


def face(frames: int, seed: int = 0) -> np.ndarray:
    """A still "face": outer eye corners 100 px apart, pupils 60 px apart, box 160 px wide."""
    points = np.random.default_rng(seed).uniform(20, 140, (L, 2)).astype(np.float32)
    points[36], points[45] = (50, 60), (150, 60)
    points[37:42], points[42:45], points[46:48] = (0, 0), (0, 0), (0, 0)
    points[37:42] = (74, 60)  # mean of 36..41: (50 + 5 * 74) / 6 = 70
    points[[42, 43, 44, 46, 47]] = (126, 60)  # mean of 42..47: (150 + 5 * 126) / 6 = 130
    points[0], points[16] = (0, 50), (160, 50)
    return np.tile(points, (frames, 1, 1))


def predictions(points: np.ndarray) -> ClipPredictions:
    present = np.isfinite(points).all((1, 2))
    state = tuple(np.where(present, "tracking", "lost"))
    return ClipPredictions(points.astype(np.float32), np.ones(points.shape[:2], np.float32), state)


def truth(points: np.ndarray) -> ClipTruth:
    return ClipTruth(points, np.ones(points.shape[:2], bool))


def test_scores_of_a_shifted_track_by_hand():
    target = face(5)
    scores = score_with_truth({"a": predictions(target + np.float32([3, 0]))}, {"a": truth(target)}, SCHEME, 0.08)
    assert scores["frames"] == 5 and scores["num_videos"] == 1
    assert scores["nme_inter_ocular"] == pytest.approx(0.03)  # 3 / 100
    assert scores["nme_inter_pupil"] == pytest.approx(0.05)  # 3 / 60
    assert scores["rmse_inter_pupil"] == pytest.approx(0.05)  # all errors are equal
    assert scores["point_error_px"] == pytest.approx(3)
    assert scores["auc_0.05_inter_ocular"] == pytest.approx(0.4)  # 1 - 3 / 5
    assert scores["auc_0.08_inter_ocular"] == pytest.approx(0.625)  # 1 - 3 / 8
    assert scores["auc_0.08_rmse_inter_pupil"] == pytest.approx(0.375)  # 1 - 5 / 8
    assert scores["failure_rate_0.08_inter_ocular"] == 0 and scores["missing"] == 0
    assert scores["share_below_0.08_rmse_inter_pupil"] == 1
    assert scores["subsets"]["inner51"]["nme_inter_ocular"] == pytest.approx(0.03)
    assert set(scores["components"]) == {"cheek", "left_eye", "right_eye", "nose", "mouth"}
    assert scores["jitter_e3"] == scores["residual_jitter"] == scores["rt_jitter"] == 0
    assert scores["lag_e1"] is None  # nothing moves


def test_confidence_is_compared_with_how_often_points_are_within_5_per_cent():
    target = face(5)
    far = predictions(target + np.float32([4, 0]))  # 4 / 60, and certain of it
    assert score_with_truth({"a": far}, {"a": truth(target)}, SCHEME, 0.08)["confidence_ece"] == pytest.approx(1.0)
    unsure = predictions(target + np.float32([2, 0]))
    unsure.confidence[:] = 0.75
    unsure.confidence[2] = np.nan
    assert score_with_truth({"a": unsure}, {"a": truth(target)}, SCHEME, 0.08)["confidence_ece"] == pytest.approx(0.25)


def test_a_lost_frame_is_a_failure_but_not_in_the_mean():
    target = face(4)
    points = target.copy()
    points[3] = np.nan
    scores = score_with_truth({"a": predictions(points)}, {"a": truth(target)}, SCHEME, 0.08)
    assert scores["nme_inter_ocular"] == 0
    assert scores["auc_0.08_inter_ocular"] == scores["auc_0.05_rmse_inter_pupil"] == 0.75
    assert scores["failure_rate_0.08_inter_ocular"] == scores["missing"] == 0.25
    assert scores["share_below_0.05_rmse_inter_pupil"] == 0.75
    assert scores["nme_inter_ocular_p99"] is None  # one frame in four has no error to speak of


def test_frames_after_the_last_prediction_are_lost():
    target = face(4)
    scores = score_with_truth({"a": predictions(target[:2])}, {"a": truth(target)}, SCHEME, 0.08)
    assert scores["missing"] == 0.5


def test_truth_jitter_stands_beside_the_jitter_of_the_same_frames():
    target = face(7)
    target[::2] += np.float32([0, 8])  # up and down by 8 px: (8 + 8) / 2 px around every frame, 160 px wide
    points = target.copy()
    points[5] = np.nan
    scores = score_with_truth({"a": predictions(points)}, {"a": truth(target)}, SCHEME, 0.08)
    assert scores["truth_e3"] == pytest.approx(8 / 160)
    assert scores["jitter_e3_excess"] == pytest.approx(0)


def test_means_over_frames_and_videos():
    target = {"long": face(6), "short": face(2)}
    moved = {"long": predictions(target["long"] + np.float32([1, 0])), "short": predictions(target["short"] + np.float32([5, 0]))}
    scores = score_with_truth(moved, {name: truth(points) for name, points in target.items()}, SCHEME, 0.08)
    assert scores["nme_inter_ocular"] == pytest.approx(0.02)  # (6 * 0.01 + 2 * 0.05) / 8
    assert scores["videos"]["nme_inter_ocular"] == pytest.approx(0.03)  # (0.01 + 0.05) / 2


def test_missing_predictions_are_named():
    with pytest.raises(ValueError, match="no predictions of clip 'b'"):
        score_with_truth({"a": predictions(face(3))}, {"b": truth(face(3))}, SCHEME, 0.08)
    with pytest.raises(ValueError, match="no predictions of clip 'c'"):
        score_without_truth({}, {}, SCHEME, ["c"], [])


def test_real_clips_by_hand():
    shown, empty, mixed = face(4), face(4), face(2)
    shown[1] += np.float32([3, 0])  # second differences 6 and 3 px at the frames 1 and 2, by 60 px: 0.1 and 0.05
    empty[:3] = np.nan
    clips = {name: predictions(points) for name, points in (("shown", shown), ("empty", empty), ("mixed", mixed))}
    cycles = {"shown": np.array([np.nan, 0.01, 0.02, 0.06])}
    scores = score_without_truth(clips, cycles, SCHEME, ["shown"], ["empty"])
    assert scores["rt_jitter"] == pytest.approx(0.075)
    assert scores["cycle_error"] == pytest.approx(0.02)
    assert scores["lost"] == 0
    assert scores["false_tracks"] == 0.25
    assert scores["present"] == {"empty": 0.25, "mixed": 1.0, "shown": 1.0}


def test_frame_rows_and_json_values():
    target = face(3)
    points = target + np.float32([2, 0])
    points[2] = np.nan
    rows = frame_rows({"a": predictions(points)}, {"a": truth(target)}, SCHEME)
    assert rows["clip_id"] == ["a"] * 3 and rows["frame"] == [0, 1, 2]
    np.testing.assert_allclose(rows["nme"], [0.02, 0.02, np.inf], rtol=1e-6)
    assert without_nan({"a": float("nan"), "b": {"c": float("inf"), "d": 1.23456789}}) == {
        "a": None,
        "b": {"c": None, "d": 1.234568},
    }


def test_tables_become_clips(tmp_path):
    points = face(3)
    rows = [("a", 0, 1, "tracking"), ("a", 0, 0, "tracking"), ("a", 2, 0, "lost"), ("b", 0, 0, "searching")]
    columns = {
        "clip_id": [row[0] for row in rows],
        "frame": [row[1] for row in rows],
        "face_id": [row[2] for row in rows],
        "points_frame": np.stack([points[0] + 50, points[0], np.full((L, 2), np.nan), np.full((L, 2), np.nan)]),
        "confidence": np.ones((4, L)),
        "state": [row[3] for row in rows],
        "box": np.zeros((4, 4)),
    }
    write_table(tmp_path / "p.parquet", columns, predictions_schema(L))
    clips = read_predictions(tmp_path / "p.parquet", SCHEME)
    assert list(clips["a"].present) == [True, False, False] and clips["a"].state == ("tracking", "lost", "lost")
    np.testing.assert_array_equal(clips["a"].points_frame[0], points[0])  # face 0, not face 1
    assert clips["b"].state == ("searching",)

    truth_columns = {
        "frame": [1, 0],
        "points_frame": points[:2] + np.float32([[[1]], [[0]]]),
        "valid": np.ones((2, L)),
        "visible": np.ones((2, L)),
    }
    write_table(tmp_path / "t.parquet", truth_columns, truth_schema(L))
    np.testing.assert_array_equal(read_truth(tmp_path / "t.parquet", SCHEME).points_frame[0], points[0])
    write_table(tmp_path / "gap.parquet", truth_columns | {"frame": [0, 2]}, truth_schema(L))
    with pytest.raises(ValueError, match=r"gap.parquet: truth of 2 frames"):
        read_truth(tmp_path / "gap.parquet", SCHEME)


def test_the_share_of_hidden_landmarks_is_of_those_with_a_truth(tmp_path):
    seen, valid = np.ones((3, L), bool), np.ones((3, L), bool)
    seen[1, :17] = False
    valid[2, 17:], seen[2] = False, False  # 17 landmarks have a truth, all of them covered
    order = [2, 0, 1]
    columns = {"frame": np.array(order), "points_frame": face(3), "valid": valid[order], "visible": seen[order]}
    write_table(tmp_path / "truth.parquet", columns, truth_schema(L))
    assert hidden_share(tmp_path / "truth.parquet", SCHEME).tolist() == [0.0, 0.25, 1.0]
    assert len(hidden_share(tmp_path, SCHEME)) == 0
