"""BRF's head in the deployed loop, over real ONNX files that follow a bright square."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from strrn.cli import app
from strrn.core.geometry import fit_similarity
from strrn.core.tables import read_table
from strrn.models.export import export_refiner
from strrn.runtime import FaceState, State, Tracker
from strrn.runtime.backbone import BackboneContract, contract_to_dict
from strrn.runtime.models import ModelPair
from strrn.runtime.refine import begin, refine
from tests.runtime import tiny


@pytest.fixture(autouse=True)
def _square_faces(monkeypatch):
    monkeypatch.setattr("strrn.core.face_detection.FaceDetector", tiny.SquareFaces)


def run(tracker: Tracker, frames: list[np.ndarray]) -> list[FaceState]:
    return [(tracker(frame) or [tracker.nobody()])[0] for frame in frames]


FRAMES = [tiny.picture(number, True) for number in range(12)]


def test_the_backbone_does_not_notice_the_head():
    plain = run(Tracker(tiny.models_dir(), method="detector"), FRAMES)
    refined = run(Tracker(tiny.refined_dir(), refine=True), FRAMES)
    for before, after in zip(plain, refined, strict=True):
        np.testing.assert_array_equal(after.raw_points_frame, before.points_frame)
        np.testing.assert_array_equal(after.confidence, before.confidence)
    moved = [np.abs(face.points_frame - face.raw_points_frame).max() for face in refined]
    assert moved[0] == 0 and min(moved[1:]) > 0.05  # the first frame has no past
    np.testing.assert_allclose(refined[5].box, [*refined[5].points_frame.min(0), *refined[5].points_frame.max(0)])


def test_refined_points_are_given_steadier_and_remembered_as_they_were():
    pair, shown = ModelPair(tiny.refined_dir()), []
    for steadiness in (0.0, 0.5):
        loop = pair.face_tracker(tiny.SquareFaces(), replace(pair.info.runtime, steadiness=steadiness), refine=True)
        shown.append([loop(frame)[0] for frame in FRAMES])
    moved = [np.abs(steady.points_frame - plain.points_frame).max() for plain, steady in zip(*shown, strict=True)]
    assert moved[0] == 0 and min(moved[2:]) > 0.02
    for plain, steady in zip(*shown, strict=True):
        np.testing.assert_array_equal(plain.raw_points_frame, steady.raw_points_frame)
        sides = [np.linalg.norm(np.diff(face.points_frame, axis=0), axis=1) for face in (plain, steady)]
        np.testing.assert_allclose(sides[1] / sides[0], (sides[1] / sides[0]).mean(), rtol=1e-3)  # the shape is BRF's


def test_a_head_that_has_learned_nothing_changes_nothing():
    for face in run(Tracker(tiny.refined_dir(trained=False), refine=True), FRAMES):
        np.testing.assert_allclose(face.points_frame, face.raw_points_frame, atol=1e-4)


def test_a_lost_face_is_forgotten():
    """After a while without the face, and after a cut, the points are those of a video that begins there."""
    gap = [tiny.picture(0, False)] * 8
    tracker = Tracker(tiny.refined_dir(), refine=True)
    shown = run(tracker, [*FRAMES[:5], *gap, *FRAMES[5:]])
    assert shown[12].state is State.lost
    fresh = run(Tracker(tiny.refined_dir(), refine=True), FRAMES[5:])
    for face, other in zip(shown[13:], fresh, strict=True):
        np.testing.assert_allclose(face.points_frame, other.points_frame, atol=1e-4)
    tracker.reset()
    for face, other in zip(run(tracker, FRAMES[5:]), fresh, strict=True):
        np.testing.assert_allclose(face.points_frame, other.points_frame, atol=1e-4)


def test_faces_side_by_side_are_refined_as_each_alone():
    pair = ModelPair(tiny.refined_dir())
    refinement = pair.refinement()
    shapes = [[tiny.truth(number) + offset for number in range(3)] for offset in ((0, 0), (9, -5))]
    transforms = [fit_similarity(tiny.truth(number), tiny.REFERENCE, tiny.SIZE) for number in range(3)]

    def follow(faces: list[int]) -> list[np.ndarray]:
        memories = [begin(refinement, FRAMES[0], transforms[0], shapes[face][0]) for face in faces]
        for number in (1, 2):
            points = np.stack([transforms[number].to_crop(shapes[face][number]) for face in faces])
            confidence = np.full(points.shape[:2], 0.7)
            memories = refine(refinement, FRAMES[number], memories, [transforms[number]] * len(faces), points, confidence, None)
        return [memory.refined for memory in memories]

    together = follow([0, 1])
    for face in (0, 1):
        np.testing.assert_allclose(follow([face])[0], together[face], atol=1e-3)


class Middle(torch.nn.Module):
    """A landmark model of somebody: (N, 3, 63, 63) in [0, 1] -> five points about what is bright, (N, 5, 2) in 0..1."""

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        bright = (picture.mean(1) - 0.5).clamp(min=0)
        cells = (torch.arange(63, dtype=torch.float32) + 0.5) / 63
        mass = bright.sum((1, 2)).clamp(min=1e-3)
        centre = torch.stack([(bright.sum(1) * cells).sum(-1), (bright.sum(2) * cells).sum(-1)], -1) / mass[:, None]
        shape = torch.from_numpy(tiny.REFERENCE - tiny.REFERENCE.mean(0)) / tiny.SIZE
        return centre[:, None] + shape


CONTRACT = BackboneContract(
    size=63, layout="nchw", channels="rgb", type="float32", mean=(0, 0, 0), deviation=(255, 255, 255),
    fill=100 / tiny.SIZE, kind="coordinates", unit="unit", name=None, landmarks=None, licence="CC0",
)  # fmt: skip


@pytest.mark.filterwarnings("ignore")  # of torch's exporter
def test_a_model_of_somebody_is_the_backbone(tmp_path):
    folder = shutil.copytree(tiny.models_dir(), tmp_path / "models")
    example = (torch.zeros(2, 3, 63, 63),)
    axes = ({0: torch.export.Dim("batch")},)
    torch.onnx.export(Middle(), example, dynamic_shapes=axes, dynamo=True, verbose=False).save(folder / "backbone.onnx")
    export_refiner(tiny.small_head(trained=False), folder / "refiner.onnx", tiny.METADATA, contract_to_dict(CONTRACT))
    faces = run(Tracker(folder, refine=True), FRAMES)
    assert {face.state for face in faces} == {State.tracking}
    for number, face in enumerate(faces):
        np.testing.assert_allclose(face.points_frame, tiny.truth(number), atol=0.8)
        assert (face.confidence == 0.5).all()


def test_what_does_not_fit_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no refiner\.onnx in .*: run `dvc repro`"):
        Tracker(tiny.models_dir(), refine=True)
    with pytest.raises(ValueError, match="found method tracker"):
        Tracker(tiny.refined_dir(), refine=True, method="tracker")
    with pytest.raises(ValueError, match="raw_points_frame"):
        Tracker(tiny.refined_dir(), refine=True, smooth=False)
    folder = Path(shutil.copytree(tiny.models_dir(), tmp_path / "models"))
    export_refiner(tiny.small_head(True), folder / "refiner.onnx", tiny.METADATA | {"round": "r7"}, None)
    with pytest.raises(ValueError, match=r"another detector \(round r7, expected r2"):
        Tracker(folder, refine=True)
    shutil.copyfile(folder / "detector.onnx", folder / "refiner.onnx")
    with pytest.raises(ValueError, match="is a detector, expected a refiner"):
        Tracker(folder, refine=True)


def test_the_command(tmp_path):
    video = tiny.write_video(tmp_path / "clip.mp4", [True] * 8)
    tables = []
    for options in ([], ["--refine"]):
        out = tmp_path / f"out{len(options)}"
        arguments = ["track", str(video), "-o", str(out), "--models", str(tiny.refined_dir()), "--overlay", "none", "--table", "parquet"]
        result = CliRunner().invoke(app, [*arguments, *options])
        assert result.exit_code == 0, result.output
        tables.append(read_table(out / "clip.landmarks.parquet"))
    assert (tables[1]["state"] == "tracking").all()
    assert np.abs(tables[0]["points_frame"] - tables[1]["points_frame"]).max() > 0.05
