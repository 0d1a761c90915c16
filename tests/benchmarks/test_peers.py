"""The benchmarks against other trackers, with stand-ins for these."""

from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from benchmarks import peer_videos, peers
from benchmarks.peer_videos import followed, real_table
from benchmarks.peers import MEDIAPIPE_68, cut, in_68, predictions
from strrn.core.face_detection import FaceDetector
from strrn.core.geometry import bounding_box
from strrn.core.images import decode_image
from strrn.core.landmarks import load_scheme
from strrn.core.video import VideoWriter
from strrn.data.sources.pts import LabelledImage


def test_mediapipes_points_are_reduced_to_the_68():
    mesh = np.arange(478 * 2, dtype=np.float32).reshape(478, 2)
    ours = np.ones((68, 2), np.float32)
    found = in_68(lambda picture, milliseconds: [mesh, ours])(np.zeros((2, 2, 3), np.uint8), 0)
    assert found[1] is ours and [point[0] / 2 for point in found[0]] == MEDIAPIPE_68


def test_of_several_faces_the_labelled_one_counts(tmp_path, monkeypatch):
    find_faces, path = FaceDetector(), Path("tests/core/face.jpg")
    face = decode_image(path.read_bytes(), str(path))
    (seen,) = find_faces(face)
    low, high = np.split(seen.box, 2)
    truth = np.random.default_rng(0).uniform(low, high, (68, 2)).astype(np.float32)
    truth[:2] = low, high
    monkeypatch.setattr(peers, "open_image", lambda image: face)
    labelled = LabelledImage(tmp_path / "a.jpg", truth)
    picture, transform, box = cut(labelled, find_faces)
    assert picture.shape == (peers.SIDE, peers.SIDE, 3)
    np.testing.assert_allclose(box, transform.to_crop(seen.box.reshape(2, 2)).ravel(), atol=0.01)
    right, wrong = transform.to_crop(truth), transform.to_crop(truth) + 300
    kept, said = predictions(
        [labelled], {"both": lambda picture: [wrong, right], "wrong": lambda picture: [wrong], "none": lambda picture: []}
    )
    assert kept == [labelled] and said["wrong"] == said["none"] == [None]
    np.testing.assert_allclose(said["both"][0], truth, atol=0.01)
    np.testing.assert_allclose(bounding_box(said["both"][0]), seen.box, atol=0.01)


@pytest.fixture
def shaking(tmp_path):
    """A video of eight frames, and a method that loses the face in two of them and moves the points by a pixel to and fro."""
    with VideoWriter(tmp_path / "a.mp4", fps=25, quality=20) as writer:
        for _ in range(8):
            writer.write(np.zeros((64, 64, 3), np.uint8))
    shape = np.random.default_rng(0).uniform(10, 50, (68, 2)).astype(np.float32)
    shape[36:42], shape[42:48] = (20, 30), (40, 30)  # 20 pixels from pupil to pupil

    @contextmanager
    def method():
        yield lambda frame, seconds: None if round(seconds * 25) < 2 else shape + np.float32([round(seconds * 25) % 2, 0])

    return tmp_path / "a.mp4", method


def test_figures_without_truth(shaking):
    video, method = shaking
    points = followed(video, method)
    assert points.shape == (8, 68, 2) and np.isnan(points[:2]).all() and np.isfinite(points[2:]).all()
    table = real_table([video], {"shaking": method}, load_scheme("ibug68"))
    name, jitter, e3, lost = (next(iter(column.cells)) for column in table.columns)
    assert (name, jitter, lost) == ("shaking", "10.00", "25.00")  # 2 of 20 px; 2 of 8 frames
    assert float(e3) == pytest.approx(100 / np.ptp(points[2, :, 0]), abs=0.01)


def test_ours_runs_over_the_models_of_a_folder(tmp_path, monkeypatch):
    """Read once without a face: what counts is that the tracker is made of them."""
    opened = []
    monkeypatch.setattr(peer_videos, "Tracker", lambda models, refine: opened.append((models, refine)) or (lambda frame, seconds: []))
    assert list(peer_videos.methods(tmp_path, tmp_path)) == ["STRRN"]
    (tmp_path / "refiner.onnx").touch()
    for method in peer_videos.methods(tmp_path, tmp_path).values():
        with method() as follow:
            assert follow(np.zeros((8, 8, 3), np.uint8), 0.0) is None
    assert opened == [(tmp_path, False), (tmp_path, True)]


def test_a_folder_without_videos_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        peer_videos.main([str(tmp_path)])
    assert "no video in" in capsys.readouterr().err
