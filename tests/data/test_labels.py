"""The labelled photographs of S: 300-W, own pictures, frames of 300VW; each in a tiny folder of its layout."""

import dataclasses
import logging
import pickle

import cv2
import numpy as np
import pytest

from strrn.core.landmarks import LandmarkScheme, load_scheme
from strrn.core.tables import truth_schema, write_table
from strrn.data.sources.ibug_300vw import clips_300vw
from strrn.data.sources.ibug_300w import faces_300w
from strrn.data.sources.labelled import LabelError, LabelledFace, by_file, pictures_of
from strrn.data.sources.labels import LabelParameters, labelled_faces
from strrn.data.sources.own_labels import log_splits, own_faces
from strrn.data.sources.record import ClipRecord, split_of
from strrn.stages.parameters import load_section
from tests.data.test_videos import write_300vw

LABELS = load_section("labels", LabelParameters)
POINTS = [(1, 1), (3.5, 2), (4, 6)]
THREE = LandmarkScheme("three", ("left", "right", "nose"), (1, 0, 2), {}, (), 2, {"d": ((0,), (1,))}, {})
IBUG68 = load_scheme("ibug68")
# The eyes' outer corners (36, 45) and the tip of the nose (30).
OF_68 = dataclasses.replace(THREE, from_ibug68=((36,), (45,), (30,)))


def label(path, points=POINTS, suffix=".png"):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{x} {y}" for x, y in points]
    path.with_suffix(".pts").write_text("\n".join(["version: 1", f"n_points: {len(lines)}", "{", *lines, "}", ""]))
    if suffix:
        cv2.imwrite(str(path.with_suffix(suffix)), np.full((8, 10, 3), 90, np.uint8))


def parts(found):
    found = list(found)
    return [item for item in found if isinstance(item, LabelledFace)], [item for item in found if isinstance(item, dict)]


def test_300w_in_its_layout(tmp_path):
    for name in ("afw/1_1", "afw/1_2", "helen/trainset/9_1", "lfpw/trainset/image_0001", "lfpw/testset/image_0002", "ibug/image_003_1"):
        label(tmp_path / name, [(x, x) for x in range(1, 69)], ".jpg")
    label(tmp_path / "elsewhere/face", [(x, x) for x in range(1, 69)])
    faces, rejected = parts(faces_300w(tmp_path, IBUG68, val=0.5, test=0.0))
    assert not rejected
    by_id = {face.image_id: face for face in faces}
    assert sorted(by_id) == [
        *("300w/afw/1_1", "300w/afw/1_2", "300w/helen/trainset/9_1", "300w/ibug/image_003_1"),
        *("300w/lfpw/testset/image_0002", "300w/lfpw/trainset/image_0001"),
    ]
    assert by_id["300w/afw/1_1"].identity == by_id["300w/afw/1_2"].identity == "300w/afw/1"
    assert by_id["300w/lfpw/trainset/image_0001"].identity == "300w/lfpw/trainset/image_0001"  # here the number is the photograph's
    assert [by_id[name].split for name in ("300w/lfpw/testset/image_0002", "300w/ibug/image_003_1")] == ["test", "test"]
    assert by_id["300w/afw/1_1"].points_frame[2].tolist() == [2, 2]  # the file counts from 1
    assert by_id["300w/afw/1_1"].licence.startswith("research only")


def test_photographs_are_divided_by_name_whatever_else_there_is(tmp_path):
    names = [f"{number}_{face}" for number in range(60) for face in (1, 2)]
    for name in names:
        label(tmp_path / "afw" / name)
    faces, _ = parts(faces_300w(tmp_path, THREE, 0.2, 0.3))
    splits = {face.image_id: face.split for face in faces}
    for number in range(60):
        assert splits[f"300w/afw/{number}_1"] == splits[f"300w/afw/{number}_2"]
    shares = [sum(split == name for split in splits.values()) / len(splits) for name in ("train", "val", "test")]
    assert shares == pytest.approx([0.5, 0.2, 0.3], abs=0.12)
    for name in names[:100]:
        (tmp_path / f"afw/{name}.pts").unlink()
    faces, _ = parts(faces_300w(tmp_path, THREE, 0.2, 0.3))
    assert len(faces) == 20 and all(splits[face.image_id] == face.split for face in faces)
    assert [split_of(name, 0.2, 0.3) for name in ("a", "b", "c", "d")] == [split_of(name, 0.2, 0.3) for name in "abcd"]


def test_a_folder_of_own_pictures(tmp_path):
    folder = tmp_path / "mine"
    label(folder / "day/a")
    label(folder / "b", [(1, 1), ("nan", "nan"), (4, 6)], ".PNG")
    label(folder / "c", suffix=None)
    label(folder / "d", POINTS[:2])
    label(folder / "e", [(2, 2)] * 3)
    (folder / "f.pts").write_text("nothing")
    faces, rejected = parts(own_faces(folder, THREE, 0.1, 0.1))
    assert [(face.image_id, face.path, face.licence) for face in faces] == [
        ("mine/b", folder / "b.PNG", "user"),
        ("mine/day/a", folder / "day/a.png", "user"),
    ]
    assert faces[0].valid.tolist() == [True, False, True]
    assert {row["image_id"]: row["reason"] for row in rejected} == {
        "mine/c": "missing image",
        "mine/d": "wrong point count",
        "mine/e": "too few labels",
        "mine/f": "damaged labels",
    }
    assert "4 numbers, expected x and y of 3 points" in next(row["detail"] for row in rejected if row["image_id"] == "mine/d")


TABLE = """image,x0,y0,x1,y1,x2,y2
a.png,0,0,2.5,1,3,5
a.png,5,5,6,5,7,5
b.png,0,0,,,3,5
gone.png,0,0,2.5,1,3,5
b.png,0,0,2.5,1
b.png,0,0,2.5,,3,5
b.png,0,0,left,1,3,5
b.png,,,,,3,5
"""


def test_a_table_of_own_pictures(tmp_path):
    for name in ("a", "b"):
        label(tmp_path / name)
    (tmp_path / "faces.csv").write_text(TABLE)
    faces, rejected = parts(own_faces(tmp_path / "faces.csv", THREE, 0.4, 0.4))
    assert [face.image_id for face in faces] == ["faces/a.png", "faces/a.png#1", "faces/b.png"]
    assert faces[0].split == faces[1].split and faces[0].identity == faces[1].identity
    assert faces[0].points_frame.tolist() == [[0, 0], [2.5, 1], [3, 5]]
    assert faces[2].valid.tolist() == [True, False, True]
    assert [(row["reason"], row["detail"].split("/")[-1]) for row in rejected] == [
        ("missing image", "gone.png does not exist"),
        ("wrong point count", "faces.csv, line 6 has 5 cells, expected 7"),
        ("damaged labels", "faces.csv, line 7: only one of x1, y1 is a number"),
        ("damaged labels", "faces.csv, line 8: could not convert string to float: 'left'"),
        ("too few labels", rejected[4]["detail"]),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("image,x0,y0\n", r"has 3 columns image, x0, y0, expected the 7 columns image, x0, y0, x1, …, y2 for the 3 landmarks"),
        ("", "has 0 columns"),
    ],
)
def test_a_table_of_another_scheme_is_refused(tmp_path, content, message):
    (tmp_path / "faces.csv").write_text(content)
    with pytest.raises(ValueError, match=message):
        list(own_faces(tmp_path / "faces.csv", THREE, 0.1, 0.1))


def test_the_name_of_the_table_or_folder_does_not_move_pictures(tmp_path):
    names = [f"day/{number}" for number in range(40)]
    splits = []
    for first in ("first", "second"):
        for name in names:
            label(tmp_path / first / name)
        table = tmp_path / first / f"{first}.csv"
        table.write_text("\n".join([TABLE.splitlines()[0], *(f"{name}.png,0,0,2.5,1,3,5" for name in names)]) + "\n")
        for path in (tmp_path / first, table):
            faces, _ = parts(own_faces(path, THREE, 0.3, 0.3))
            assert {face.image_id.split("/")[0] for face in faces} == {first}
            splits.append(
                [face.split for face in sorted(faces, key=lambda face: names.index(face.image_id.partition("/")[2].removesuffix(".png")))]
            )
    assert splits[0] == splits[2] == [split_of(name, 0.3, 0.3) for name in names]
    assert splits[1] == splits[3] == [split_of(f"{name}.png", 0.3, 0.3) for name in names]
    assert set(splits[0]) == {"train", "val", "test"}


def test_swapped_coordinates_are_refused(tmp_path, caplog):
    folder = tmp_path / "mine"
    for name in "abc":
        label(folder / name, [(y, x) for x, y in POINTS])
    assert len(own_faces(folder, THREE, 0.1, 0.1)) == 3  # three people may be lying down
    assert "3 of 3 faces lie on their side" in caplog.text
    for name in "defghij":
        label(folder / name, [(y, x) for x, y in POINTS])
    with pytest.raises(
        ValueError, match=r"mine of .*labels\.own: 10 of 10 faces lie on their side, .* left and right .* x and y are swapped"
    ):
        own_faces(folder, THREE, 0.1, 0.1)
    without_pairs = dataclasses.replace(THREE, mirror=(0, 1, 2))
    assert len(own_faces(folder, without_pairs, 0.1, 0.1)) == 10
    label(folder / "b")
    label(folder / "c", [POINTS[0], ("nan", "nan"), POINTS[2]])  # says nothing, its pair is not labelled
    assert len(own_faces(folder, THREE, 0.1, 0.1)) == 10


def test_few_own_pictures_to_choose_by_or_to_test_on_are_told(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    label(tmp_path / "a")
    (face,) = own_faces(tmp_path, THREE, 0.1, 0.1)
    faces = [
        dataclasses.replace(face, identity=f"{split}{number}", split=split)
        for split, count in (("train", 12), ("val", 9), ("test", 10))
        for number in range(count)
    ]
    log_splits([*faces, faces[-1], dataclasses.replace(face, identity="elsewhere", source="300w")])  # a picture of two faces counts once
    told, warned = caplog.records
    assert told.getMessage() == "own pictures: train 12, val 9, test 10"
    assert warned.levelno == logging.WARNING and warned.getMessage().startswith("fewer than 10 own pictures in val:")
    caplog.clear()
    log_splits(faces[:12] + faces[-10:] + [dataclasses.replace(face, identity=f"v{number}", split="val") for number in range(10)])
    log_splits([])
    assert [record.levelno for record in caplog.records] == [logging.INFO]


def test_a_picture_that_is_named_twice_does_not_land_in_two_splits(tmp_path):
    names = [f"{number}" for number in range(20)]
    for name in names:
        label(tmp_path / "mine" / name)
    rows = [f"{name}.png,0,0,2.5,1,3,5" for name in names]
    (tmp_path / "mine/faces.csv").write_text("\n".join(["image,x0,y0,x1,y1,x2,y2", *rows]) + "\n")
    both = dataclasses.replace(LABELS, own=[str(tmp_path / "mine"), str(tmp_path / "mine/faces.csv")], val=0.3, test=0.3)
    with pytest.raises(ValueError, match=r"png would be in \w+ and in \w+: params\.yaml, labels names it twice"):
        labelled_faces(both, [], THREE)


def test_a_table_as_spreadsheets_write_it(tmp_path):
    label(tmp_path / "a")
    table = tmp_path / "faces.csv"
    table.write_text("image, x0, y0, x1, y1, x2, y2\na.png,0,0,2.5,1,3,5\n,,,,,,\n", encoding="utf-8-sig")
    assert [face.image_id for face in own_faces(table, THREE, 0.1, 0.1)] == ["faces/a.png"]
    table.write_bytes("image,x0,y0,x1,y1,x2,y2\nÜ.png,0,0,2.5,1,3,5\n".encode("cp1252"))
    with pytest.raises(ValueError, match=r"faces\.csv is not UTF-8 .*: save it as CSV in UTF-8, separated by commas"):
        own_faces(table, THREE, 0.1, 0.1)
    table.write_text("Image,X0,Y0,X1,Y1,X2,Y2,,\n a.png ,0,0,2.5,1,3,5,,\na.png,0,0,2.5,1,3,5,7,\n")
    face, rejected = own_faces(table, THREE, 0.1, 0.1)
    assert face.image_id == "faces/a.png" and rejected["detail"].endswith("line 3 has 9 cells, expected 7")
    table.write_text("image,x0,y0,x1,y1,x2,y2\n")
    with pytest.raises(ValueError, match=r"faces\.csv of params\.yaml, labels\.own, holds no labelled face"):
        own_faces(table, THREE, 0.1, 0.1)
    table.write_text("image;x0;y0;x1;y1;x2;y2\na.png;0;0;2,5;1;3;5\n")
    with pytest.raises(ValueError, match=r"cells are separated by semicolons: save it with commas, and decimals with a point"):
        own_faces(table, THREE, 0.1, 0.1)
    table.write_text('image,x0,y0,x1,y1,x2,y2\na.png,0,0,"2,5",1,3,5\n')
    (row,) = own_faces(table, THREE, 0.1, 0.1)
    assert row["detail"].endswith("could not convert string to float: '2,5': write decimals with a point")


def test_a_table_of_68_points_serves_a_scheme_that_can_be_had_from_them(tmp_path):
    label(tmp_path / "a")
    columns = ["image", *(f"{axis}{number}" for number in range(68) for axis in "xy"), *(f"confidence{number}" for number in range(68))]
    values = [str(number) for number in range(136)]
    values[2 * 45] = values[2 * 45 + 1] = ""  # not labelled
    (tmp_path / "faces.csv").write_text("\n".join([",".join(columns), ",".join(["a.png", *values, *["0.5"] * 68])]) + "\n")
    (face,) = own_faces(tmp_path / "faces.csv", OF_68, 0.1, 0.1)
    np.testing.assert_array_equal(face.points_frame, np.float32([[72, 73], [np.nan, np.nan], [60, 61]]))


def test_what_to_put_where(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"labels\.own, is neither a \.csv or \.json file nor a folder with \.pts files"):
        own_faces(tmp_path, THREE, 0.1, 0.1)
    with pytest.raises(FileNotFoundError, match=r"faces\.csv of params\.yaml, labels\.own, does not exist"):
        own_faces(tmp_path / "faces.csv", THREE, 0.1, 0.1)
    with pytest.raises(FileNotFoundError, match=r"labels\.ibug_300w, has no \.pts files in afw, helen/trainset.*unpack"):
        list(faces_300w(tmp_path / "300w", IBUG68, 0.1, 0.1))


def test_68_points_serve_a_scheme_that_says_how(tmp_path):
    label(tmp_path / "mine/a", [(x, 2 * x) for x in range(1, 69)])
    label(tmp_path / "mine/b")
    (first, second), rejected = parts(own_faces(tmp_path / "mine", OF_68, 0.1, 0.1))
    assert first.points_frame[:, 0].tolist() == [36, 45, 30] and second.points_frame[1].tolist() == [2.5, 1] and not rejected
    _, rejected = parts(own_faces(tmp_path / "mine", THREE, 0.1, 0.1))
    assert [row["image_id"] for row in rejected] == ["mine/a"]


def test_frames_of_300vw_join_evenly_spread(tmp_path):
    write_300vw(tmp_path, {"001": 8, "002": 8, "114": 8})
    clips, _ = clips_300vw(tmp_path)
    parameters = dataclasses.replace(LABELS, rendered=False, semi_share=0.25)
    faces, rejected = labelled_faces(parameters, clips, IBUG68)
    assert [(face.image_id, face.frame, face.split) for face in faces] == [
        ("300vw.001/000003", 2, "train"),
        ("300vw.001/000007", 6, "train"),
        ("300vw.002/000003", 2, "train"),
        ("300vw.002/000007", 6, "train"),
    ]
    assert not rejected
    assert faces[1].points_frame[0].tolist() == [6, 0]
    # The picture is that frame of the video: its brightness counts the frames.
    first, second = pictures_of(by_file(faces)[0])
    assert (first.mean(), second.mean()) == pytest.approx((70, 150), abs=3)
    everything, _ = labelled_faces(dataclasses.replace(parameters, semi_share=1.0), clips, IBUG68)
    assert [face.frame for face in everything] == [*range(8)] * 2
    assert not labelled_faces(dataclasses.replace(LABELS, semi_share=0.0), clips, IBUG68)[0]
    beyond = dataclasses.replace(faces[1], frame=99)
    with pytest.raises(ValueError, match=r"vid\.avi ends before frame 99"):
        list(pictures_of([faces[0], beyond]))


def rendered_clip(folder, name, split, truth=True, frames=8):
    table = {
        "frame": np.arange(frames),
        "points_frame": np.arange(frames)[:, None, None] + np.arange(68)[None, :, None] * np.ones(2),
        "valid": np.ones((frames, 68), bool),
        "visible": np.ones((frames, 68), bool),
    }
    table["valid"][:, 5] = False
    write_table(folder / f"{name}.parquet", table, truth_schema(68))
    (folder / f"{name}.mp4").touch()
    file = str(folder / f"{name}.parquet") if truth else None
    return ClipRecord(name, str(folder / f"{name}.mp4"), "rendered", split, name, "us", "CC0-1.0", frames, 25.0, 90, 120, file)


def test_frames_of_rendered_training_clips_join_evenly_spread(tmp_path):
    clips = [
        *(rendered_clip(tmp_path, name, "train") for name in ("a", "b")),
        *(rendered_clip(tmp_path, name, name) for name in ("val", "test")),
        rendered_clip(tmp_path, "unknown", "train", truth=False),
    ]
    labels = dataclasses.replace(LABELS, semi_share=0.25)
    faces, rejected = labelled_faces(labels, clips, IBUG68)
    assert [(face.image_id, face.frame, face.split) for face in faces] == [
        *(("a/000002", 2, "train"), ("a/000006", 6, "train")),
        *(("b/000002", 2, "train"), ("b/000006", 6, "train")),
    ]
    assert not rejected and faces[1].points_frame[3].tolist() == [9, 9] and faces[0].licence == "CC0-1.0"
    assert np.flatnonzero(~faces[0].valid).tolist() == [5]
    assert labelled_faces(LABELS, clips, IBUG68) == ([], [])
    with pytest.raises(ValueError, match=r"or set labels\.rendered to true"):  # they are no labels then
        labelled_faces(dataclasses.replace(labels, rendered=False), clips, IBUG68)
    write_300vw(tmp_path, {"001": 8})
    both, _ = labelled_faces(labels, clips + clips_300vw(tmp_path)[0], IBUG68)
    assert [face.identity for face in both] == ["a", "a", "b", "b", "300vw.001", "300vw.001"]


def test_settings_that_cannot_work_are_explained(tmp_path):
    with pytest.raises(ValueError, match="nothing is labelled"):
        dataclasses.replace(LABELS, rendered=False)
    with pytest.raises(ValueError, match=r"together below 1, found 0\.5 and 0\.5"):
        dataclasses.replace(LABELS, val=0.5, test=0.5)
    with pytest.raises(ValueError, match="semi_share must be a share"):
        dataclasses.replace(LABELS, semi_share=1.5)
    with pytest.raises(ValueError, match=r"semi_share is set, but there is no annotated training video"):
        labelled_faces(dataclasses.replace(LABELS, semi_share=0.1), [], IBUG68)
    label(tmp_path / "mine/a")
    label(tmp_path / "mine/b", POINTS[:2])
    own = dataclasses.replace(LABELS, rendered=False, own=[str(tmp_path / "mine")])
    with pytest.raises(
        ValueError, match=r"1 of 2 labelled faces cannot be used, labels\.max_rejected .* allows 5%: mine/b: wrong point count"
    ):
        labelled_faces(own, [], THREE)
    assert len(labelled_faces(dataclasses.replace(own, max_rejected=0.5), [], THREE)[0]) == 1
    twice = dataclasses.replace(own, max_rejected=0.5, own=[str(tmp_path / "mine")] * 2)
    with pytest.raises(ValueError, match=r"share the ids \['mine/a'\]"):
        labelled_faces(twice, [], THREE)


def test_a_reason_survives_the_way_between_processes():
    error = pickle.loads(pickle.dumps(LabelError("missing image", "a.png does not exist")))
    assert error.row("a") == {"image_id": "a", "reason": "missing image", "detail": "a.png does not exist"}
