"""The render stage on the toy head: what it writes, and that nothing but parameters and seed decides it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from strrn.core.files import read_json_lines
from strrn.core.landmarks import LandmarkScheme, load_scheme
from strrn.core.tables import read_table, stills_schema, truth_schema
from strrn.core.video import read_frames
from strrn.render.camera import Pose
from strrn.render.contact_sheet import contact_sheet
from strrn.render.head_scan import load_scan, scan_points, view_scan
from strrn.render.parameters import RenderParameters
from strrn.stages.parameters import load_section
from strrn.stages.render import render
from tests.render.conftest import TINY
from tests.render.test_landmarks import FAR, NOON
from tests.render.toy import write_scan


def tiny() -> RenderParameters:
    return load_section("render", RenderParameters, TINY)


@pytest.fixture(scope="module")
def runs(toy_raw: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same parameters with one and with two processes."""
    parameters = tiny()
    folders = []
    for workers in (1, 2):
        parameters.workers = workers
        folders.append(tmp_path_factory.mktemp("rendered") / "out")
        render(toy_raw, folders[-1], parameters, 5, load_scheme("ibug68"), with_stills=True)
    return folders[0], folders[1]


def test_stills(runs):
    for split, count in (("train", 16), ("val", 4), ("test", 4)):
        table = read_table(runs[0] / f"stills_{split}.parquet", stills_schema(68))
        assert len(table["image_id"]) == count == len(set(table["image_id"]))
        assert table["valid"].all() and np.isfinite(table["points_frame"]).all()
        assert 0.5 < table["visible"].mean() <= 1
        assert set(table["split"]) == {split}


def test_splits_share_no_identity(runs):
    identities = [set(read_table(runs[0] / f"stills_{split}.parquet")["identity"]) for split in ("train", "val", "test")]
    assert not identities[0] & identities[1] and not identities[0] & identities[2] and not identities[1] & identities[2]
    assert len(identities[0]) == 4


def test_clips_and_truth(runs):
    records = read_json_lines(runs[0] / "clips.jsonl")
    assert [record["clip_id"] for record in records] == ["rendered_train_000", "rendered_val_000", "rendered_test_000", "head_scan_000"]
    for record in records:
        frames = [frame for _, _, frame in read_frames(runs[0] / record["path"])]
        truth = read_table(runs[0] / record["truth"], truth_schema(68))
        assert len(frames) == record["num_frames"] == len(truth["frame"])
        assert frames[0].shape == (record["height"], record["width"], 3)
        assert np.isnan(truth["points_frame"][~truth["valid"]]).all() and np.isfinite(truth["points_frame"][truth["valid"]]).all()
        assert not (truth["visible"] & ~truth["valid"]).any()
    assert records[3]["licence"] == "BSD-3-Clause" and records[3]["split"] == "test"


def test_result_does_not_depend_on_the_number_of_processes(runs):
    first, second = ({path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()} for folder in runs)
    assert first.keys() == second.keys()
    assert [str(path) for path in first if first[path] != second[path]] == []


TWO = LandmarkScheme("two", ("left", "right"), (1, 0), {}, (), 0, {"d": ((0,), (1,))}, {})


def test_a_scheme_gets_its_own_points(runs, toy_raw, tmp_path):
    corners = replace(TWO, from_ibug68=((36, 39), (45,)))
    render(toy_raw, tmp_path / "out", tiny(), 5, corners, with_stills=True)
    theirs, ours = (read_table(folder / "stills_val.parquet") for folder in (runs[0], tmp_path / "out"))
    assert ours["image"].tolist() == theirs["image"].tolist()
    expected = np.stack([theirs["points_frame"][:, [36, 39]].mean(1), theirs["points_frame"][:, 45]], 1)
    np.testing.assert_allclose(ours["points_frame"], expected, atol=1e-4)
    theirs, ours = (read_table(folder / "clips/head_scan_000.parquet") for folder in (runs[0], tmp_path / "out"))
    np.testing.assert_allclose(ours["points_frame"][:, 1], theirs["points_frame"][:, 45])
    assert (ours["visible"][:, 0] == theirs["visible"][:, [36, 39]].all(1)).all()


def test_a_scheme_of_other_points_gets_unlabelled_clips(runs, toy_raw, tmp_path):
    with pytest.raises(ValueError, match=r"'two' does not say how .* from_ibug68 .*labels\.rendered to false"):
        render(toy_raw, tmp_path / "out", tiny(), 5, TWO, with_stills=True)
    render(toy_raw, tmp_path / "out", tiny(), 5, TWO, with_stills=False)
    records = read_json_lines(tmp_path / "out/clips.jsonl")
    assert [(record["clip_id"], record["truth"]) for record in records] == [("rendered_train_000", None), ("rendered_val_000", None)]
    files = {path.name for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert files == {"clips.jsonl", "rendered_train_000.mp4", "rendered_val_000.mp4"}
    for name in ("rendered_train_000.mp4", "rendered_val_000.mp4"):
        assert (tmp_path / "out/clips" / name).read_bytes() == (runs[0] / "clips" / name).read_bytes()


def test_contact_sheet(runs):
    sheet = contact_sheet(runs[0] / "stills_train.parquet", load_scheme("ibug68"), count=5, columns=3, cell=64, seed=0)
    assert sheet.shape == (128, 192, 3) and sheet.dtype == np.uint8
    assert not sheet[64:, 128:].any()  # five of six cells are used
    with pytest.raises(ValueError, match="holds 16 stills, 99 were asked for"):
        contact_sheet(runs[0] / "stills_train.parquet", load_scheme("ibug68"), count=99, columns=3, cell=64, seed=0)


def test_scan_points_are_the_projection_of_the_file(tmp_path):
    """Seen from far in front, distances between points are those of the file (mm) times the scale; visible where the ellipsoid faces us."""
    truth = write_scan(tmp_path)
    scan = load_scan(tmp_path)
    front = Pose(0.0, 0.0, 0.0, (150.0, 150.0), 100.0, FAR)
    points = scan_points(scan, front)[:, :2]
    assert points[45] - points[36] == pytest.approx([truth[45, 0] - truth[36, 0], 0], abs=1e-3)
    steps = np.linalg.norm(np.diff(points[:17], axis=0), axis=1)
    assert steps == pytest.approx(np.full(16, steps.mean()), rel=0.02)  # the file.s are 14 to 20 apart
    assert np.linalg.norm(np.diff(truth[:17, :2], axis=0), axis=1).min() < 0.85 * steps.mean()
    head = view_scan(scan, front, NOON, 300, 300, 1.0)
    assert head.visible[17:].all()
    turned = view_scan(scan, Pose(0.9, 0.0, 0.0, (150.0, 150.0), 100.0, FAR), NOON, 300, 300, 1.0)
    assert not turned.visible[14:16].any() and turned.visible[[2, 36]].all()


def test_missing_scan_is_named(toy_raw, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"james\.obj is missing: run the download stage"):
        load_scan(tmp_path)
