"""Own labels, a scheme of five points and an own video, from the CSV file to `strrn track`: stages at tiny size, nothing is downloaded."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from strrn.core.face_detection import FaceDetector
from strrn.core.files import read_json
from strrn.core.images import encode_jpeg
from strrn.data.sources.packages import PACKAGED_CLIPS
from strrn.runtime.models import open_model
from tests.render.conftest import TINY as TINY_RENDER
from tests.render.toy import write_raw
from tests.stages.test_crop import MOVING, film, picture
from tests.test_e2e import BINARIES, ROOT, TINY, merge_known

pytestmark = pytest.mark.e2e

FIVE = """
name: five
names: [right_eye, left_eye, nose, right_mouth, left_mouth]
root: 2
mirror: [1, 0, 2, 4, 3]
components: {eyes: [0, 1], nose: [2], mouth: [3, 4]}
edges: [[0, 1], [3, 4]]
normalisers:
  inter_ocular: [[0], [1]]
subsets: {}
"""
STAGES = ["render", "crop", "pretrain", "mine --round r1", "distil --round r1", "refine", "export"]
PATCHES = {"samples": 8, "channels": [8, 8], "feature_size": 8}
SHORT = {"max_epochs": 1, "num_batches": 12}
CHANGES = {
    "scheme": "five.yaml",
    "labels": {"rendered": False, "own": ["faces/faces.csv"], "val": 0.2, "test": 0.1},
    "crop": {"folders": ["videos"], "fill": 0.3, "min_track_frames": 5},
    "mdm": {"patches": PATCHES},
    "strrn": {"patches": PATCHES | {"sizes": [96]}},
    "pretrain": {"stream": {"fresh": 0}, "encoder": "own", "mdm": SHORT, "strrn": SHORT},
    "rounds": {"r1": {"from": "r0", "threshold": 0.9}},
    "export": {"round": "last"},  # rounds are not scored here
    # What has hardly learned anything does not pass checks that are made for what has.
    "runtime": {"min_confidence": 0.0, "max_shape_distance": 9.0, "max_disagreement": 9.0, "max_cycle_error": 9.0},
}


def write_labels(folder: Path) -> None:
    """Pictures of a face in several places, their five points as the face detector sees them, and a cell that is empty."""
    folder.mkdir()
    (face,) = FaceDetector()(picture(0))
    with (folder / "faces.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", *(f"{axis}{number}" for number in range(5) for axis in "xy")])
        for left in range(0, 120, 6):
            (folder / f"{left}.jpg").write_bytes(encode_jpeg(picture(left), 95))
            cells = [f"{value:.2f}" for value in (face.five_points + (left, 0)).ravel()]
            table.writerow([f"{left}.jpg", *(cells if left % 30 else [*cells[:-2], "", ""])])


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder to run stages in: parameters, the scheme, labels, a video, and toys in the place of what is downloaded."""
    write_raw(tmp_path / "data/raw")
    for clip in PACKAGED_CLIPS:
        film((tmp_path / "data/raw" / clip.path).with_suffix(".mp4"), [None] * 4)
        (tmp_path / "data/raw" / clip.path).with_suffix(".mp4").rename(tmp_path / "data/raw" / clip.path)
    write_labels(tmp_path / "faces")
    film(tmp_path / "videos/mine.mp4", MOVING)
    (tmp_path / "five.yaml").write_text(FIVE)
    params = OmegaConf.load(ROOT / "params.yaml")
    params.render = OmegaConf.load(TINY_RENDER).render
    params = merge_known(params, OmegaConf.load(TINY))
    del params.rounds["r2"]
    OmegaConf.save(OmegaConf.merge(params, CHANGES), tmp_path / "params.yaml")
    return tmp_path


def run(project: Path, *command: str | Path) -> str:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, cwd=project, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert result.returncode == 0, result.stdout[-4000:]
    return result.stdout


def test_own_labels_scheme_and_video_become_a_tracker(project: Path) -> None:
    for stage in STAGES:
        name, *arguments = stage.split()
        run(project, sys.executable, "-m", f"strrn.stages.{name}", *arguments)
    assert read_json(project / "data/crops/reference.json")["scheme"] == "five"
    _, about = open_model(project / "models/export/tracker.onnx")
    assert about.scheme.names == tuple(yaml.safe_load(FIVE)["names"])
    assert about.licence == "user"
    run(project, BINARIES / "strrn", "track", "videos/mine.mp4", "--out", "tracked")
    with (project / "tracked/mine.landmarks.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(MOVING) and {"x4", "y4"} < set(rows[0]) and "x5" not in rows[0]
    assert sum(row["state"] == "tracking" for row in rows) > len(rows) / 2
