"""The models that the package carries: what `strrn track my.mp4` uses after an install."""

from pathlib import Path

import numpy as np

from strrn.core.images import decode_image
from strrn.core.model_files import DETECTOR_FILE, PACKAGE_MODELS, TRACKER_FILE, default_models
from strrn.runtime import State, Tracker
from strrn.runtime.models import REFINER_FILE, open_model

PICTURE = Path(__file__).parents[2] / "docs/images/overlay.jpg"


def test_they_are_found_where_nothing_was_trained(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert default_models() == PACKAGE_MODELS


def test_they_are_small_and_free(monkeypatch):
    files = [PACKAGE_MODELS / name for name in (TRACKER_FILE, DETECTOR_FILE, REFINER_FILE)]
    assert sum(file.stat().st_size for file in files) <= 12e6
    for file in files:
        info = open_model(file)[1]
        assert info.scheme.name == "ibug68"
        assert set(info.licence.split(", ")) == {"CC0-1.0", "MIT"}


def test_they_find_the_faces_of_a_picture():
    """Three faces side by side: a webcam clip, a head scan, a rendered one."""
    picture = decode_image(PICTURE.read_bytes(), str(PICTURE))
    faces = Tracker(PACKAGE_MODELS, running_mode="image", max_faces=5)(picture)
    assert len(faces) == 3 and all(face.state is State.tracking for face in faces)
    for face in faces:
        assert face.confidence.mean() > 0.5
        eyes, mouth = face.points_frame[36:48].mean(0), face.points_frame[48:].mean(0)
        assert mouth[1] > eyes[1] and np.ptp(face.points_frame, 0).min() > 40
