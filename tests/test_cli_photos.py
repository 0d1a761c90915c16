"""`strrn photos`, over real ONNX files that follow a bright square."""

import csv
import json

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from strrn.cli import app
from strrn.data.sources.labelled import LabelledFace
from strrn.data.sources.own_labels import own_faces
from tests.runtime import tiny


@pytest.fixture(autouse=True)
def _square_faces(monkeypatch):
    monkeypatch.setattr("strrn.core.face_detection.FaceDetector", tiny.SquareFaces)


def photos(*arguments):
    return CliRunner().invoke(app, ["photos", *map(str, arguments), "--models", str(tiny.models_dir())])


def write(path, frame, present=True, size=(240, 320)):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), tiny.picture(frame, present, *size))


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def album(tmp_path):
    """Two sizes, a folder below, a picture without a face, and what is none."""
    write(tmp_path / "album/a.png", 0)
    write(tmp_path / "album/day 2/b.png", 5, size=(300, 260))
    write(tmp_path / "album/empty.png", 0, present=False)
    (tmp_path / "album/broken.jpg").write_bytes(b"no picture")
    (tmp_path / "album/notes.txt").write_text("no picture")
    return tmp_path / "album"


def test_the_table_holds_the_points_of_every_face(album, tmp_path):
    result = photos(album, "-o", tmp_path / "out")
    found = rows(tmp_path / "out/landmarks.csv")
    assert [row["image"] for row in found] == ["../album/a.png", "../album/day 2/b.png"]
    for row, frame in zip(found, (0, 5), strict=True):
        points = [[float(row[f"{axis}{number}"]) for axis in "xy"] for number in range(5)]
        np.testing.assert_allclose(points, tiny.truth(frame), atol=0.05)
        assert all(0 <= float(row[f"confidence{number}"]) <= 1 for number in range(5))
    assert result.stdout.splitlines()[:2] == ["pictures  4, 2 of them with a face", "faces     2"]
    assert (
        f"models    {tiny.models_dir()}, round" in result.stdout
        and "not looked at, since" in result.stderr
        and "notes.txt (1)" in result.stderr
    )


def test_what_has_no_face_is_listed_with_the_reason(album, tmp_path):
    result = photos(album, "-o", tmp_path / "out")
    assert result.exit_code == 1 and "broken.jpg (10 bytes) cannot be decoded" in result.output
    reasons = {row["image"]: row["reason"] for row in rows(tmp_path / "out/landmarks.rejected.csv")}
    assert reasons["../album/empty.png"] == "no face" and "cannot be decoded" in reasons["../album/broken.jpg"] and len(reasons) == 2
    (album / "broken.jpg").unlink()
    assert photos(album, "-o", tmp_path / "out2").exit_code == 0, "a picture without a face is no failure"
    (album / "empty.png").unlink()
    assert photos(album, "-o", tmp_path / "out", "--overwrite").exit_code == 0
    assert not (tmp_path / "out/landmarks.rejected.csv").exists()


def test_faces_are_drawn_where_they_are(album, tmp_path):
    photos(album, "-o", tmp_path / "out")
    assert sorted(path.relative_to(tmp_path / "out").as_posix() for path in tmp_path.glob("out/**/*.jpg")) == [
        "a.landmarks.jpg",
        "day 2/b.landmarks.jpg",
    ]
    drawn, before = cv2.imread(str(tmp_path / "out/day 2/b.landmarks.jpg")), tiny.picture(5, True, 300, 260)
    assert drawn.shape == before.shape
    changed = np.argwhere(np.abs(drawn.astype(int) - before).max(-1) > 60)
    np.testing.assert_allclose([changed.min(0), changed.max(0)], [tiny.truth(5).min(0)[::-1], tiny.truth(5).max(0)[::-1]], atol=6)
    photos(album, "-o", tmp_path / "table only", "--no-draw")
    assert not list(tmp_path.glob("table only/**/*.landmarks.jpg"))


def test_nothing_is_replaced_unasked_and_nothing_drawn_is_read(album):
    (album / "broken.jpg").unlink()
    assert photos(album, "-o", album).exit_code == 0
    first = (album / "landmarks.csv").read_text()
    again = photos(album, "-o", album)
    assert again.exit_code == 1 and "exist already: give another --out, or --overwrite" in again.output
    assert photos(*album.glob("**/*.*g"), "-o", album).exit_code == 1
    assert photos(album, "-o", album, "--overwrite").exit_code == 0
    assert (album / "landmarks.csv").read_text() == (album / "landmarks.csv.bak").read_text() == first  # it may have been corrected
    assert "only pictures that were drawn before" in photos(album / "a.landmarks.jpg").output


@pytest.mark.parametrize(("table", "file"), [("csv", "landmarks.csv"), ("coco", "landmarks.json")])
def test_the_table_holds_labels_to_learn_from(album, tmp_path, table, file):
    photos(album, "-o", tmp_path / "out", "--table", table)
    faces = own_faces(tmp_path / "out" / file, tiny.SCHEME, 0.1, 0.1)
    assert all(isinstance(face, LabelledFace) and face.path.is_file() for face in faces)
    np.testing.assert_allclose([face.points_frame for face in faces], [tiny.truth(0), tiny.truth(5)], atol=0.05)


def test_coco_keypoints_have_what_annotation_tools_want(album, tmp_path):
    photos(album, "-o", tmp_path / "out", "--table", "coco")
    content = json.loads((tmp_path / "out/landmarks.json").read_text())
    assert [(image["file_name"], image["width"], image["height"]) for image in content["images"]] == [
        ("../album/a.png", 320, 240),
        ("../album/day 2/b.png", 260, 300),
    ]
    assert content["categories"][0]["keypoints"] == list(tiny.SCHEME.names)
    for number, (annotation, frame) in enumerate(zip(content["annotations"], (0, 5), strict=True), 1):
        assert (annotation["id"], annotation["image_id"], annotation["num_keypoints"], annotation["iscrowd"]) == (number, number, 5, 0)
        x, y, width, height = annotation["bbox"]
        np.testing.assert_allclose([x, y], tiny.truth(frame).min(0), atol=0.05)
        np.testing.assert_allclose([width, height], np.ptp(tiny.truth(frame), 0), atol=0.1)
        assert annotation["keypoints"][2::3] == [2] * 5 and len(annotation["confidence"]) == 5
    assert "--table pts: expected one of csv, coco" in photos(album, "--table", "pts").output


@pytest.mark.parametrize(
    ("names", "message"),
    [(["nothing"], "does not exist"), (["album/notes.txt"], "is no picture"), (["album/none"], "holds no picture")],
)
def test_what_is_no_picture(album, tmp_path, names, message):
    (album / "none").mkdir()
    result = photos(*(tmp_path / name for name in names), "-o", tmp_path / "out")
    assert result.exit_code == 1 and message in result.output and not (tmp_path / "out").exists()


def test_two_pictures_of_one_name(tmp_path):
    for name in ("one/a.png", "two/a.png", "three/a.png", "three/a.webp"):
        write(tmp_path / name, 0)
    assert "would both be drawn into" in photos(tmp_path / "one", tmp_path / "two", "-o", tmp_path / "out").output
    assert photos(tmp_path / "three", "-o", tmp_path / "out").exit_code == 0
    assert sorted(path.name for path in tmp_path.glob("out/*.jpg")) == ["a.png.landmarks.jpg", "a.webp.landmarks.jpg"]


def test_ctrl_c_leaves_no_half_of_a_table(album, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("strrn.runtime.photographs.encode_jpeg", stop)
    result = photos(album, "-o", tmp_path / "out")
    assert result.exit_code != 0 and "the table is not written" in result.output
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
