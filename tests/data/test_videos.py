"""The research sets of video, each as a tiny folder of the official layout."""

import dataclasses

import cv2
import numpy as np
import pytest

from strrn.core.landmarks import load_scheme
from strrn.core.video import VideoError, VideoWriter, probe, read_frames
from strrn.data.sources.ibug_300vw import SOURCES, VIDEOS, clips_300vw, read_annotations
from strrn.data.sources.record import split_of
from strrn.data.sources.videos import VideoParameters, research_clips
from strrn.data.sources.youtube_celebrities import youtube_celebrities
from strrn.data.sources.youtube_faces import youtube_faces
from strrn.stages.parameters import load_section

OFF = load_section("videos", VideoParameters)


def film(path, num_frames):
    """A video whose frame t has the grey level 30 + 20 t."""
    with VideoWriter(path.with_suffix(".mp4"), 25, 5) as writer:
        for index in range(num_frames):
            writer.write(np.full((48, 64, 3), 30 + 20 * index, np.uint8))
    path.with_suffix(".mp4").rename(path)


def write_300vw(folder, videos):
    """001 etc. -> number of frames. Point 0 of frame t is at (t, 0)."""
    for name, num_frames in videos.items():
        film(folder / name / "vid.avi", num_frames)
        (folder / name / "annot").mkdir()
        for frame in range(num_frames):
            points = [f"{frame + x + 1} {x + 1}" for x in range(68)]
            text = "\n".join(["version: 1", "n_points: 68", "{", *points, "}", ""])
            (folder / name / f"annot/{frame + 1:06d}.pts").write_text(text)


def test_300vw_has_the_challenges_division():
    assert {source: len(videos) for source, videos in VIDEOS.items()} == {
        "300vw_train": 50,
        "300vw_category_1": 31,
        "300vw_category_2": 19,
        "300vw_category_3": 14,
    }
    assert len(SOURCES) == 114  # no video is in two of them


def test_300vw_in_its_layout(tmp_path):
    write_300vw(tmp_path, {"410": 3, "001": 4, "114": 3, "007": 3})
    (tmp_path / "007/annot").rename(tmp_path / "007/later")
    (tmp_path / "extra").mkdir()
    (tmp_path / "002").mkdir()
    (tmp_path / "002/vid.avi").write_bytes(b"cut")
    clips, rejected = clips_300vw(tmp_path)
    assert [(clip.clip_id, clip.split, clip.source, clip.kind, clip.num_frames) for clip in clips] == [
        ("300vw.001", "train", "300vw_train", "real", 4),
        ("300vw.007", "train", "300vw_train", "real", 3),
        ("300vw.114", "test", "300vw_category_1", "real", 3),
        ("300vw.410", "test", "300vw_category_3", "real", 3),
    ]
    assert [clip.truth for clip in clips[:2]] == [str(tmp_path / "001/annot"), None]
    assert [(row["clip_id"], row["reason"]) for row in rejected] == [("300vw.002", "unreadable")]


def test_annotations_become_frames_from_zero(tmp_path):
    write_300vw(tmp_path, {"001": 4})
    (tmp_path / "001/annot/000002.pts").unlink()
    points = read_annotations(tmp_path / "001/annot", load_scheme("ibug68"))
    assert points.shape == (4, 68, 2) and np.isnan(points[1]).all() and np.isfinite(points[[0, 2, 3]]).all()
    assert points[3, 2].tolist() == [5, 2]
    (tmp_path / "001/annot/last.pts").touch()
    with pytest.raises(ValueError, match=r"last\.pts: the annotations of 300VW are called by the frame's number"):
        read_annotations(tmp_path / "001/annot", load_scheme("ibug68"))


def write_frames(folder, numbers, shape=(48, 64, 3)):
    folder.mkdir(parents=True)
    for index, number in enumerate(numbers):
        cv2.imwrite(str(folder / f"0.{number}.jpg"), np.full(shape, 30 + 20 * index, np.uint8))


def test_youtube_faces_in_its_layout(tmp_path):
    write_frames(tmp_path / "Bill_Clinton/1", (999, 1000, 1001))
    write_frames(tmp_path / "Bill_Clinton/4", (1, 2))
    write_frames(tmp_path / "Aaron_Eckhart/0", (555, 556))
    (tmp_path / "Aaron_Eckhart.labeled_faces.txt").touch()
    (tmp_path / "Aaron_Eckhart/1").mkdir()
    (tmp_path / "Aaron_Eckhart/2").mkdir()
    (tmp_path / "Aaron_Eckhart/2/0.1.jpg").write_bytes(b"cut")
    clips, rejected = youtube_faces(tmp_path, 0.3, 0.3)
    assert [(clip.clip_id, clip.identity, clip.num_frames, clip.height, clip.width) for clip in clips] == [
        ("youtube_faces.Aaron_Eckhart.0", "aaron_eckhart", 2, 48, 64),
        ("youtube_faces.Bill_Clinton.1", "bill_clinton", 3, 48, 64),
        ("youtube_faces.Bill_Clinton.4", "bill_clinton", 2, 48, 64),
    ]
    assert clips[1].split == clips[2].split == split_of("bill_clinton", 0.3, 0.3)
    assert [row["clip_id"] for row in rejected] == ["youtube_faces.Aaron_Eckhart.2"]
    # 1000 comes after 999, though not in the alphabet
    assert [frame.mean() for _, _, frame in read_frames(clips[1].path)] == pytest.approx([30, 50, 70], abs=2)


def test_youtube_celebrities_in_its_layout(tmp_path):
    for name in ("0417_02_003_bill_clinton", "0417_01_001_bill_clinton", "0217_03_006_alanis_morissette"):
        film(tmp_path / f"{name}.avi", 3)
    clips, _ = youtube_celebrities(tmp_path, 0.3, 0.3)
    assert [(clip.clip_id.split(".")[1], clip.identity) for clip in clips] == [
        ("0217_03_006_alanis_morissette", "alanis_morissette"),
        ("0417_01_001_bill_clinton", "bill_clinton"),
        ("0417_02_003_bill_clinton", "bill_clinton"),
    ]
    # The same person has the same split in YouTube Faces.
    assert clips[1].split == clips[2].split == split_of("bill_clinton", 0.3, 0.3)
    film(tmp_path / "holiday.avi", 3)
    with pytest.raises(ValueError, match=r"holiday\.avi: a clip of YouTube Celebrities is called like"):
        youtube_celebrities(tmp_path, 0.3, 0.3)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("ibug_300vw", r"has no video such as 001/vid\.avi: unpack 300VW"),
        ("youtube_faces", "has no frames: name the folder frame_images_DB"),
        ("youtube_celebrities", r"has no \.avi file: put the clips"),
    ],
)
def test_what_to_put_where(tmp_path, key, message):
    with pytest.raises(FileNotFoundError, match=rf"of params\.yaml, videos\.{key}, {message}"):
        research_clips(dataclasses.replace(OFF, **{key: str(tmp_path / "missing")}))


def test_sets_are_off_by_default_and_join_by_path(tmp_path):
    assert research_clips(OFF) == ([], [])
    write_300vw(tmp_path / "vw", {"001": 3})
    write_frames(tmp_path / "faces/Aaron_Eckhart/0", (1, 2))
    film(tmp_path / "0217_03_006_alanis_morissette.avi", 3)
    clips, rejected = research_clips(
        dataclasses.replace(OFF, ibug_300vw=str(tmp_path / "vw"), youtube_faces=str(tmp_path / "faces"), youtube_celebrities=str(tmp_path))
    )
    assert [clip.source for clip in clips] == ["300vw_train", "youtube_faces", "youtube_celebrities"] and not rejected


def test_a_folder_of_images_is_a_video(tmp_path):
    write_frames(tmp_path / "frames", (2, 10, 9))
    assert [index for index, _, _ in read_frames(tmp_path / "frames")] == [0, 1, 2]
    assert dataclasses.astuple(probe(tmp_path / "frames")) == (48, 64, 25.0, 3)
    cv2.imwrite(str(tmp_path / "frames/0.11.jpg"), np.zeros((50, 64, 3), np.uint8))
    with pytest.raises(VideoError, match=r"0\.11\.jpg has shape \(50, 64, 3\), those before"):
        list(read_frames(tmp_path / "frames"))
    (tmp_path / "none").mkdir()
    with pytest.raises(VideoError, match="holds no image: put the frames there"):
        list(read_frames(tmp_path / "none"))
