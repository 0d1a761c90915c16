"""Held-out labelled pictures: which they are, whose face counts in them, and what they score. The models are those of test_predict."""

from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from strrn.core.geometry import bounding_box
from strrn.core.landmarks import LandmarkScheme, load_scheme
from strrn.data.sources.labels import LabelParameters
from strrn.data.sources.record import split_of
from strrn.evaluation.predict import overlap, run_still
from strrn.evaluation.predictions import ClipPredictions
from strrn.evaluation.score import score_with_truth
from strrn.evaluation.stills import EvaluationStill, held_out_stills, photographs
from strrn.runtime.parameters import Mode
from tests.data.test_labels import label
from tests.evaluation.small_run import SCHEME, drawn_face, make_run, picture
from tests.evaluation.test_predict import PARAMETERS, scripted_models

LARGE = drawn_face() + np.float32([50, 60])
SMALL = 0.5 * drawn_face() + np.float32([125, 60])
FIVE_OF_68 = [[36, 37, 38, 39, 40, 41], [42, 43, 44, 45, 46, 47], [30], [48], [54]]
FIVE = LandmarkScheme(
    "five", ("right_eye", "left_eye", "nose", "right_mouth", "left_mouth"), (1, 0, 2, 4, 3), {"eyes": (0, 1), "nose": (2,), "mouth": (3, 4)},
    (), 2, {"inter_ocular": ((0,), (1,))}, {},
)  # fmt: skip
LABELS = LabelParameters(rendered=True, ibug_300w=None, own=[], val=0.2, test=0.3, semi_share=0.0, max_rejected=0.0)


def png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image[..., ::-1])[1].tobytes()


def still(labelled: np.ndarray, name: str = "still") -> EvaluationStill:
    return EvaluationStill(name, "stills_test", png(picture(labelled)), labelled.astype(np.float32))


def models_that_find(*faces: np.ndarray):
    """MTCNN finds these faces, whatever the picture shows."""
    found = [SimpleNamespace(box=bounding_box(face), five_points=face[[36, 45, 30, 48, 54]], probability=0.99) for face in faces]
    return replace(scripted_models(), find_faces=lambda image: found)


@pytest.mark.parametrize("mode", Mode)
def test_of_two_faces_the_labelled_one_counts(mode):
    for labelled in (LARGE, SMALL):
        result = run_still(models_that_find(LARGE, SMALL), still(labelled), replace(PARAMETERS, mode=mode))
        np.testing.assert_allclose(result.points_frame, labelled[None], atol=1e-3)
        assert result.state == ["tracking"] and result.confidence.shape == (1, SCHEME.num_landmarks)


def test_a_picture_in_which_nobody_or_somebody_else_is_found_has_no_points():
    for found in ((), (LARGE,)):
        result = run_still(models_that_find(*found), still(SMALL), PARAMETERS)
        assert np.isnan(result.points_frame).all() and result.points_frame.shape == (1, SCHEME.num_landmarks, 2)


def test_overlap_is_of_the_labelled_landmarks():
    square = np.float32([[0, 0], [10, 10]])
    assert overlap(square, square + np.float32([5, 0])) == pytest.approx(50 / 150)
    # Eyes on a line have a box without height; a third point far away is not labelled.
    eyes = np.float32([[0, 0], [10, 0], [np.nan, np.nan]])
    assert overlap(np.float32([[0, 1], [10, 1], [5, 90]]), eyes) == pytest.approx(90 / 110)


def test_stills_are_frames_without_time():
    shift = np.float32([3, 0])
    stills = [still(LARGE, "found"), still(SMALL, "lost")]
    points = {"found": (LARGE + shift)[None], "lost": np.full((1, *SMALL.shape), np.nan, np.float32)}
    predictions = {name: ClipPredictions(track, np.ones(track.shape[:2], np.float32), ("tracking",)) for name, track in points.items()}
    scores = score_with_truth(predictions, {still.clip_id: still.truth for still in stills}, SCHEME, 0.08)
    assert scores["frames"] == scores["num_videos"] == 2
    assert scores["nme_inter_ocular"] == pytest.approx(3 / SCHEME.distance(LARGE, "inter_ocular"), abs=1e-6)
    assert scores["missing"] == scores["failure_rate_0.08_inter_ocular"] == 0.5
    of_time = ("jitter_e3", "truth_e3", "jitter_e3_excess", "residual_jitter", "rt_jitter", "lag_e1", "constant_error_inter_ocular")
    assert [scores[name] for name in of_time] == [None] * len(of_time)


def test_own_pictures_of_a_scheme_of_five_points(tmp_path):
    """Only the test split; an unlabelled point is no error, and is not asked for."""
    names = [f"{number}.png" for number in range(30)]
    face = np.stack([LARGE[indices].mean(0) for indices in FIVE_OF_68])
    lines = [",".join(["image", *(f"{axis}{number}" for number in range(5) for axis in "xy")])]
    for name in names:
        (tmp_path / name).write_bytes(png(picture(LARGE)))
        lines.append(",".join([name, *(f"{value:.3f}" for value in face[:4].ravel()), "", ""]))
    (tmp_path / "faces.csv").write_text("\n".join(lines) + "\n")
    labels = replace(LABELS, rendered=False, own=[str(tmp_path / "faces.csv")])
    expected = [f"faces/{name}" for name in names if split_of(name, labels.val, labels.test) == "test"]
    found = photographs(labels, FIVE)
    assert 3 < len(expected) < 20 and [one.clip_id for one in found] == expected and {one.dataset for one in found} == {"own_test"}
    assert [one.clip_id for one in held_out_stills(tmp_path / "none", set(expected[1:]), labels, FIVE)] == expected[1:]
    first = found[0]
    np.testing.assert_array_equal(first.read(), picture(LARGE))
    assert first.truth.valid.tolist() == [[True, True, True, True, False]]
    said = ClipPredictions(
        (face + np.float32([2, 0]) + np.float32([0, 50]) * (np.arange(5) == 4)[:, None])[None], np.ones((1, 5)), ("tracking",)
    )
    scores = score_with_truth({first.clip_id: said}, {first.clip_id: first.truth}, FIVE, 0.08)
    assert scores["nme_inter_ocular"] == pytest.approx(2 / (face[1, 0] - face[0, 0]), rel=1e-3)
    assert scores["components"]["mouth"]["nme_inter_ocular"] == pytest.approx(scores["nme_inter_ocular"], rel=1e-3)


def test_300w_serves_a_scheme_that_says_how_it_is_made_of_the_68_points(tmp_path):
    label(tmp_path / "ibug/image_1", LARGE + 1, ".jpg")
    label(tmp_path / "lfpw/trainset/image_1", LARGE + 1, ".jpg")
    labels = replace(LABELS, ibug_300w=str(tmp_path), val=0.0, test=0.0, semi_share=0.1)
    (one,) = photographs(labels, replace(FIVE, from_ibug68=tuple(map(tuple, FIVE_OF_68))))
    assert (one.clip_id, one.dataset) == ("300w/ibug/image_1", "300w_test")
    np.testing.assert_allclose(one.points_frame, np.stack([LARGE[indices].mean(0) for indices in FIVE_OF_68]), atol=1e-3)


def test_a_data_set_is_there_where_such_pictures_are(tmp_path):
    make_run(tmp_path)
    table, everything = tmp_path / "data/rendered/stills_test.parquet", {f"image_id{i}" for i in range(9)}
    rendered = held_out_stills(table, everything - {"image_id1"}, LABELS, SCHEME)
    assert [(one.clip_id, one.dataset) for one in rendered] == [(f"image_id{i}", "stills_test") for i in (0, 2, 3)]
    assert rendered[0].read().shape == (120, 160, 3) and rendered[0].truth.valid.all()
    assert held_out_stills(table, everything, replace(LABELS, rendered=False, semi_share=0.1), load_scheme("ibug68")) == []
    with pytest.raises(ValueError, match=r"stills_test.parquet: its columns are"):
        held_out_stills(table, everything, LABELS, FIVE)


def test_a_damaged_picture_is_named():
    with pytest.raises(ValueError, match=r"picture faces/a\.jpg"):
        EvaluationStill("faces/a.jpg", "own_test", b"cut", LARGE).read()
