"""What is planned for what a user names, and the three kinds of tables."""

import csv
import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from strrn.core.geometry import bounding_box
from strrn.runtime.jobs import Job, plan
from strrn.runtime.loop import FaceState, State
from strrn.runtime.tables import landmark_table
from tests.runtime import tiny


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_one_video(tmp_path):
    video = tmp_path / "a.b.mov"
    touch(video)
    folder = tmp_path / "out"
    assert plan(str(video), folder, "mp4", "csv") == [Job(video, "a.b", folder / "a.b.overlay.mp4", folder / "a.b.landmarks.csv")]
    assert plan(str(video), folder, "none", "jsonl")[0].outputs == [folder / "a.b.landmarks.jsonl"]
    assert plan(str(video), tmp_path / "x.webm", "mp4", "parquet")[0].outputs == [tmp_path / "x.webm", tmp_path / "x.parquet"]


def test_a_folder_of_videos_an_image_sequence_and_a_camera(tmp_path):
    touch(tmp_path / "in/b.mp4", tmp_path / "in/sub/a.mp4", tmp_path / "in/sub/a.mov", tmp_path / "in/note.txt", tmp_path / "seq/1.png")
    jobs = plan(str(tmp_path / "in"), tmp_path / "in/out", "mp4", "csv")
    assert [job.name for job in jobs] == ["b", "sub/a.mov", "sub/a.mp4"]
    assert jobs[1].overlay == tmp_path / "in/out/sub/a.mov.overlay.mp4"
    for out in ("in/out", "in", "."):  # overlays of an earlier run are no videos to track
        touch(*plan(str(tmp_path / "in"), tmp_path / out, "mp4", "csv")[0].outputs)
        assert [job.name for job in plan(str(tmp_path / "in"), tmp_path / out, "mp4", "csv")] == ["b", "sub/a.mov", "sub/a.mp4"]
    assert [job.name for job in plan(str(tmp_path / "seq"), tmp_path, "mp4", "csv")] == ["seq"]
    assert plan("1", tmp_path, "mp4", "csv")[0].source == 1


@pytest.mark.parametrize(
    ("source", "out", "overlay", "table", "message"),
    [
        ("nowhere.mp4", "out", "mp4", "csv", "no video at"),
        ("empty", "out", "mp4", "csv", "holds no video and no images"),
        ("a.mp4", "out.avi", "mp4", "csv", "expected a folder or a name that ends in .mp4 or .webm"),
        ("a.mp4", "out", "gif", "csv", "--overlay gif: expected one of mp4, webm, none"),
        ("a.mp4", "out", "mp4", "xml", "--table xml: expected one of csv, parquet, jsonl"),
        ("a.mp4", "a.mp4", "mp4", "csv", "is the video itself"),
        (".", "out.mp4", "mp4", "csv", "need a folder"),
    ],
)
def test_bad_names_are_refused(tmp_path, source, out, overlay, table, message):
    touch(tmp_path / "a.mp4", tmp_path / "b.mp4")
    (tmp_path / "empty").mkdir()
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        plan(str(tmp_path / source), tmp_path / out, overlay, table)


POINTS = tiny.truth(0).astype(np.float32)
FACE = FaceState(3, POINTS, POINTS, np.linspace(0, 1, 5, dtype=np.float32), State.tracking, bounding_box(POINTS), "face found")
NAN = np.full((5, 2), np.nan, np.float32)
NOBODY = FaceState(-1, NAN, NAN, NAN[:, 0], State.lost, np.full(4, np.nan, np.float32), "")


def test_all_tables_say_the_same(tmp_path):
    for suffix in (".csv", ".jsonl", ".parquet"):
        with landmark_table(tmp_path / f"t{suffix}", tiny.SCHEME) as write:
            write(0, 0.0, [FACE, FACE])
            write(1, 0.04, [NOBODY])
    with open(tmp_path / "t.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    lines = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    table = pq.read_table(tmp_path / "t.parquet").to_pylist()
    assert len(rows) == len(lines) == len(table) == 3
    np.testing.assert_allclose([float(rows[0][f"{axis}{i}"]) for i in range(5) for axis in "xy"], POINTS.ravel(), atol=0.005)
    np.testing.assert_allclose(lines[1]["points_frame"], POINTS.ravel(), atol=0.005)
    np.testing.assert_array_equal(np.float32(table[1]["points_frame"]), POINTS.ravel())
    np.testing.assert_allclose(table[0]["confidence"], lines[0]["confidence"], atol=0.0005)
    for row in (rows[0], lines[0], table[0]):
        assert (str(row["frame"]), str(row["face_id"]), row["state"], row["reason"]) == ("0", "3", "tracking", "face found")
    assert rows[2]["face_id"] == rows[2]["x0"] == rows[2]["confidence4"] == ""
    for row in (lines[2], table[2]):
        assert row["face_id"] is None and row["points_frame"] is None and row["confidence"] is None and row["timestamp"] == 0.04


def test_other_tables_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"ends in one of \.csv, \.parquet, \.jsonl"):
        landmark_table(tmp_path / "t.xml", tiny.SCHEME)
