"""What a program uses, over real ONNX files that follow a bright square."""

import time
from pathlib import Path

import numpy as np
import pytest

import strrn.runtime
from strrn.core.model_files import default_models
from strrn.runtime import FaceState, RunningMode, State, Tracker
from strrn.runtime.parameters import Mode
from tests.runtime import tiny


@pytest.fixture(autouse=True)
def _square_faces(monkeypatch):
    monkeypatch.setattr("strrn.core.face_detection.FaceDetector", tiny.SquareFaces)


def tracker(**options) -> Tracker:
    return Tracker(tiny.models_dir(), **options)


def points(face: FaceState) -> np.ndarray:
    return face.points_frame


PICTURE = tiny.picture(3, True)


@pytest.mark.parametrize(
    ("frame", "channels"),
    [
        (PICTURE, "rgb"),
        (PICTURE[..., ::-1], "bgr"),
        (PICTURE[..., 0], "rgb"),
        (PICTURE[..., :1], "bgr"),
        (np.dstack([PICTURE, np.zeros_like(PICTURE[..., 0])]), "rgb"),
        (PICTURE.astype(np.uint16) << 8, "rgb"),
        (np.asfortranarray(PICTURE), "rgb"),
    ],
)
def test_every_kind_of_picture_gives_the_same_points(frame, channels):
    (face,) = tracker(channels=channels)(frame)
    np.testing.assert_allclose(points(face), tiny.truth(3), atol=0.05)
    assert face.state is State.tracking and face.face_id == 0 and face.confidence.shape == (5,)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (np.zeros((0, 10, 3), np.uint8), r"found \(0, 10, 3\)"),
        (np.zeros((10, 10, 2), np.uint8), r"found \(10, 10, 2\)"),
        (np.zeros((10, 10, 3)), "uint8 or uint16, found float64"),
    ],
)
def test_what_is_no_picture_is_refused(frame, message):
    with pytest.raises(ValueError, match=message):
        tracker()(frame)


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_turned_picture_gives_points_in_its_own_pixels(rotation):
    run = tracker(rotation=rotation)
    for number in range(4):
        (face,) = run(np.rot90(tiny.picture(number, True), rotation // 90))  # counter-clockwise: turned back by the tracker
    height, width = PICTURE.shape[:2]
    x, y = tiny.truth(3).T
    expected = {90: (y, width - 1 - x), 180: (width - 1 - x, height - 1 - y), 270: (height - 1 - y, x)}[rotation]
    np.testing.assert_allclose(points(face), np.stack(expected, 1), atol=0.05)
    np.testing.assert_allclose(face.box, np.concatenate([np.min(expected, 1), np.max(expected, 1)]), atol=0.05)


def test_the_face_leaves_and_returns():
    run = tracker()
    there = [True] * 4 + [False] * 6 + [True] * 3
    frames = [(run(tiny.picture(number, seen), number / 25) or [run.nobody()])[0] for number, seen in enumerate(there)]
    states = [face.state.name for face in frames]
    assert states[:4] == ["tracking"] * 4 and "uncertain" in states[4:7] and states[8:10] == ["lost"] * 2 and states[-1] == "tracking"
    assert frames[states.index("lost")].reason and frames[states.index("lost")].face_id == 0
    assert frames[-1].face_id == 0  # not far from where it was lost
    assert tracker().nobody().state is State.searching


def test_time_that_runs_backwards_is_another_video():
    run = tracker()
    run(PICTURE, 1.0)
    assert run(PICTURE, 1.0)[0].face_id == 0  # the same time twice is no harm
    assert run(PICTURE, 0.5)[0].face_id == 1


def test_pictures_have_nothing_to_do_with_each_other():
    run = tracker(running_mode="image")
    for number in (0, 9):
        (face,) = run(tiny.picture(number, True))
        np.testing.assert_allclose(points(face), tiny.truth(number), atol=0.05)
        assert face.reason.startswith("face found")
    assert run(tiny.picture(0, False)) == [] and run.nobody().state is State.searching


def test_both_networks_look_at_a_single_picture(monkeypatch):
    found = points(tracker(running_mode="image")(PICTURE)[0]), points(tracker()(PICTURE)[0])
    monkeypatch.setattr("strrn.runtime.models.ModelPair.track", lambda _, crops, start, *before: start + np.float32([0, 4]))
    moved = points(tracker(running_mode="image")(PICTURE)[0]), points(tracker()(PICTURE)[0])
    assert np.abs(moved[0] - found[0]).max() > 0.5  # the tracker's points count half
    np.testing.assert_array_equal(moved[1], found[1])  # the first frame of a video is the detector's


def test_live_frames_do_not_wait_for_the_search(monkeypatch):
    class SlowFaces(tiny.SquareFaces):
        def __call__(self, image):
            time.sleep(0.2)
            return super().__call__(image)

    monkeypatch.setattr("strrn.core.face_detection.FaceDetector", SlowFaces)
    run = tracker(running_mode=RunningMode.live)
    started = time.monotonic()
    assert run(PICTURE) == []
    assert time.monotonic() - started < 0.15
    while not (found := run(PICTURE)):
        assert time.monotonic() - started < 20
        time.sleep(0.02)
    np.testing.assert_allclose(points(found[0]), tiny.truth(3), atol=0.05)


def test_a_search_of_long_ago_is_not_believed(monkeypatch):
    run = tracker(running_mode="live")
    search = run._faces
    assert search(PICTURE) is None
    while not search._running.done():
        time.sleep(0.01)
    monkeypatch.setattr("strrn.runtime.tracker.OLDEST_SEARCH", -1.0)
    assert search(PICTURE) is None and search._running is not None  # a new one runs
    monkeypatch.undo()
    run.reset()
    while not search._running.done():
        time.sleep(0.01)
    assert search(PICTURE) is None


def test_points_can_be_had_as_they_are_seen():
    package = Path(strrn.runtime.__file__).parent / "weights"
    seen, given = (Tracker(package, smooth=smooth)._loop._parameters for smooth in (False, True))
    assert (seen.smoothing, seen.steadiness) == (0, 0) and given.smoothing > 0 and given.steadiness > 0
    assert tracker()._loop._parameters == tiny.PARAMETERS
    assert tracker(method="detector")._loop._parameters.mode is Mode.detector


@pytest.mark.parametrize("seconds", [float("nan"), float("inf")])
def test_a_time_that_is_none_is_refused(seconds):
    with pytest.raises(ValueError, match="expected a time"):
        tracker()(PICTURE, seconds)


def test_missing_models_say_what_to_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("strrn.core.model_files.PACKAGE_MODELS", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"models/export: run `dvc repro`"):
        default_models()
    with pytest.raises(ValueError, match="'film' is not a valid RunningMode"):
        tracker(running_mode="film")
    for wrong in ({"rotation": 45}, {"channels": "gbr"}):
        with pytest.raises(ValueError, match=next(iter(wrong)) + ": found"):
            tracker(**wrong)
