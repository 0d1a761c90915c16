"""Scripted models: the detector always sees the reference shape, the tracker always steps by `SHIFT` crop pixels to the right."""

from functools import partial
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from strrn.core.geometry import bounding_box, fit_similarity
from strrn.core.tables import read_table
from strrn.evaluation.clips import FaceInView, real_clips, rendered_clips
from strrn.evaluation.predict import Models, cycle_error, cycle_schema, predict, run_clip
from strrn.evaluation.predictions import read_predictions
from strrn.evaluation.stills import EvaluationStill
from strrn.runtime.parameters import Mode, RuntimeParameters
from tests.evaluation.small_run import FRAMES, SCHEME, drawn_face, make_run, picture

SIZE = 315
SHIFT = 0.5
FACE_FRAME = drawn_face() + np.float32([80, 62])
TO_CROP = fit_similarity(drawn_face(), drawn_face() * 3 + SIZE / 2, SIZE)
REFERENCE = TO_CROP.to_crop(drawn_face())
TEMPLATE = REFERENCE[[36, 45, 30, 48, 54]]
DISTANCE = float(SCHEME.distance(REFERENCE))


def detect(crops: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    return np.stack([REFERENCE] * len(crops)), np.ones((len(crops), len(REFERENCE)), np.float32)


def track(crops: list[np.ndarray], start_points_crop: np.ndarray, *before: object) -> np.ndarray:
    return start_points_crop + np.float32([SHIFT, 0])


def find_faces(frame: np.ndarray, seen: bool) -> list:
    face = SimpleNamespace(box=bounding_box(FACE_FRAME), five_points=FACE_FRAME[[36, 45, 30, 48, 54]], probability=0.99)
    return [face] if seen else []


def scripted_models(seen: bool = True) -> Models:
    def confirm(picture: np.ndarray, five_points: np.ndarray) -> None:
        raise AssertionError("face_every is longer than the clips")

    def find_near(frame: np.ndarray, box: np.ndarray) -> list:
        return find_faces(frame, seen)

    return Models(detect, track, partial(find_faces, seen=seen), find_near, confirm, SCHEME, REFERENCE, TEMPLATE, SIZE, 1)


PARAMETERS = RuntimeParameters(
    mode=Mode.tracker,
    cycle_every=1000,
    max_cycle_error=1.0,
    detector_share=0.0,
    detect_every=1,
    verify_every=1000,
    max_disagreement=1.0,
    min_confidence=0.1,
    face_every=1000,
    max_shape_distance=1.0,
    max_scale_jump=1.5,
    min_inside=0.5,
    patience=3,
    search_every=1,
    smoothing=0.0,
    steadiness=0.0,
    new_face_every=5,
    remember=10,
    cut_difference=100.0,
)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    root = tmp_path_factory.mktemp("clips")
    make_run(root)
    faces = {"clips/shown.mp4": FaceInView.always, "clips/empty.mp4": FaceInView.never}
    return rendered_clips(root / "data/rendered") + real_clips(root / "data/raw", faces)


def test_the_clips_are_the_test_clips_with_and_without_truth(clips):
    assert [(clip.clip_id, clip.dataset, clip.truth is None) for clip in clips] == [
        ("first", "rendered_test", False),
        ("scan", "head_scan", False),
        ("empty", "real_clips", True),
        ("shown", "real_clips", True),
    ]
    assert all(clip.num_frames == FRAMES for clip in clips)


def test_cycle_error_by_hand():
    frame = picture(FACE_FRAME)
    # The backward step adds SHIFT crop pixels to points that are right: an error of SHIFT, by d in crop pixels.
    assert cycle_error(scripted_models(), frame, frame, FACE_FRAME, FACE_FRAME) == pytest.approx(SHIFT / DISTANCE, rel=1e-3)
    # Points that moved against the step by exactly one step come back to where they were.
    before = FACE_FRAME + np.float32([SHIFT / TO_CROP.scale, 0])
    assert cycle_error(scripted_models(), frame, frame, before, FACE_FRAME) == pytest.approx(0, abs=1e-5)


def test_both_systems_run_in_their_mode(clips):
    shown = clips[-1]
    detector = run_clip(scripted_models(), shown, _mode(Mode.detector), 6)
    tracker = run_clip(scripted_models(), shown, _mode(Mode.tracker), 6)
    assert detector.points_frame.shape == (6, SCHEME.num_landmarks, 2) and detector.state == ["tracking"] * 6
    np.testing.assert_allclose(detector.points_frame, np.tile(FACE_FRAME, (6, 1, 1)), atol=1e-3)
    # The tracker steps from its own points, so its cycle is one step forward and one "back" that also goes forward.
    moved = tracker.points_frame[1:, :, 0] - tracker.points_frame[:-1, :, 0]
    np.testing.assert_allclose(moved, SHIFT / TO_CROP.scale, atol=1e-3)
    assert np.isnan(detector.cycle_error[0])
    np.testing.assert_allclose(detector.cycle_error[1:], SHIFT / DISTANCE, rtol=1e-3)
    np.testing.assert_allclose(tracker.cycle_error[1:], 2 * SHIFT / DISTANCE, rtol=1e-3)


def test_no_face_gives_rows_without_points(clips):
    result = run_clip(scripted_models(seen=False), clips[0], PARAMETERS, None)
    assert len(result.state) == FRAMES and set(result.state) <= {"searching", "lost"}
    assert np.isnan(result.points_frame).all()


def test_results_do_not_depend_on_the_number_of_processes(clips, tmp_path):
    encoded = cv2.imencode(".png", picture(FACE_FRAME))[1].tobytes()
    stills = [EvaluationStill(name, "stills_test", encoded, FACE_FRAME + shift) for name, shift in (("found", 0), ("elsewhere", 500))]
    for workers in (1, 2):
        predict([*clips, *stills], scripted_models, SCHEME, PARAMETERS, tmp_path / str(workers), max_frames=5, workers=workers)
    for name in ("detector", "tracker", "cycle"):
        assert (tmp_path / f"1/{name}.parquet").read_bytes() == (tmp_path / f"2/{name}.parquet").read_bytes()
    predictions = read_predictions(tmp_path / "2/tracker.parquet", SCHEME)
    # Clips with truth are run whole, real ones up to the limit.
    assert {name: len(clip.state) for name, clip in predictions.items()} == {
        "first": FRAMES,
        "scan": FRAMES,
        "empty": 5,
        "shown": 5,
        "found": 1,
        "elsewhere": 1,
    }
    assert predictions["found"].present.all() and not predictions["elsewhere"].present.any()
    cycles = read_table(tmp_path / "2/cycle.parquet", cycle_schema())
    assert set(cycles["clip_id"]) == {"empty", "shown"} and len(cycles["frame"]) == 2 * 2 * 5


def test_damaged_test_clips_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"clips/gone.mp4 of params.yaml, evaluate.real_clips, is not there"):
        real_clips(tmp_path, {"clips/gone.mp4": FaceInView.always})
    (tmp_path / "clips.jsonl").write_text("")
    with pytest.raises(ValueError, match=r"clips.jsonl has no test clips for \['head_scan', 'rendered_test'\]"):
        rendered_clips(tmp_path)


def _mode(mode: Mode) -> RuntimeParameters:
    return RuntimeParameters(**(vars(PARAMETERS) | {"mode": mode}))
