"""The command as a user sees it: real files, real ONNX models that follow a bright square, messages and exit codes."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from strrn.cli import app
from strrn.core.video import VideoWriter, probe, read_frames
from strrn.runtime import Tracker
from strrn.runtime.models import ModelPair
from strrn.runtime.video import track_frames
from tests.runtime import tiny


@pytest.fixture(autouse=True)
def _square_faces(monkeypatch):
    monkeypatch.setattr("strrn.core.face_detection.FaceDetector", tiny.SquareFaces)


def strrn(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def track(video, out, *more):
    return strrn("track", video, "-o", out, "--models", tiny.models_dir(), *more)


def read_rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def video(tmp_path):
    """20 frames: the square is there, leaves after 6, and is back from 14 on."""
    return tiny.write_video(tmp_path / "clip.mp4", [True] * 6 + [False] * 8 + [True] * 6)


@pytest.mark.parametrize("mode", [(), ("--mode", "detector")])
def test_track_writes_points_video_and_summary(video, tmp_path, mode):
    result = track(video, tmp_path / "out", *mode)
    assert result.exit_code == 0, result.output
    rows = read_rows(tmp_path / "out" / "clip.landmarks.csv")
    assert list(rows[0])[:6] == ["frame", "timestamp", "face_id", "state", "reason", "x0"] and list(rows[0])[-1] == "confidence4"
    assert [row["frame"] for row in rows] == [str(i) for i in range(20)]
    assert rows[10]["timestamp"] == "0.400000"
    for frame in [*range(6), *range(14, 20)]:
        points = np.array([[float(rows[frame][f"x{i}"]), float(rows[frame][f"y{i}"])] for i in range(5)])
        np.testing.assert_allclose(points, tiny.truth(frame), atol=0.3)  # the video codec blurs the square's rim
        assert rows[frame]["state"] == "tracking" and float(rows[frame]["confidence0"]) == pytest.approx(0.9)
    states = [row["state"] for row in rows]
    assert states[13] == "lost" and rows[13]["x0"] == "" and rows[13]["confidence4"] == ""
    first_lost = states.index("lost")
    assert f"lost     frames {first_lost} to 13 (" in result.output and "search" not in result.output
    assert f"models   {tiny.models_dir()}, round r2" in result.output
    assert f"20, {1 - (14 - first_lost) / 20:.0%} of them with a face" in result.output
    assert "frames/s tracking" in result.output and "clip.overlay.mp4" in result.output
    about = probe(tmp_path / "out" / "clip.overlay.mp4")
    assert (about.height, about.width, about.num_frames, about.fps) == (240, 320, 20, 25)
    # The overlay is the video with something drawn on it where the eye is, and the label in the corner.
    frames = [frame for _, _, frame in read_frames(tmp_path / "out" / "clip.overlay.mp4")]
    x, y = tiny.truth(3)[0].round().astype(int)
    assert np.abs(frames[3][y - 2 : y + 3, x - 2 : x + 3].astype(int) - tiny.picture(3, True)[y, x]).max() > 60
    assert np.abs(frames[3][:40, :80].astype(int) - 30).max() > 100


def test_a_name_that_ends_in_mp4(video, tmp_path):
    result = track(video, tmp_path / "sub" / "shown.mp4")
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in (tmp_path / "sub").iterdir()) == ["shown.csv", "shown.mp4"]


def test_existing_files_are_replaced_only_on_request(video, tmp_path):
    table = tmp_path / "out" / "clip.landmarks.csv"
    table.parent.mkdir()
    table.write_text("precious")
    refused = track(video, tmp_path / "out")
    assert refused.exit_code == 1 and "--overwrite" in refused.output and str(table) in refused.output
    assert table.read_text() == "precious" and [path.name for path in table.parent.iterdir()] == [table.name]
    assert track(video, tmp_path / "out", "--overwrite").exit_code == 0
    assert table.read_text() != "precious"


def test_the_video_itself_is_never_replaced(video):
    before = video.read_bytes()
    result = track(video, video, "--overwrite")
    assert result.exit_code == 1 and "the video itself" in result.output
    assert video.read_bytes() == before


def test_a_folder_of_videos_goes_on_where_it_was(tmp_path):
    for name in ("a", "sub/b"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        tiny.write_video(tmp_path / f"in/{name}.mp4", [True] * 4)
    (tmp_path / "in/broken.mp4").write_bytes(b"nothing")
    first = track(tmp_path / "in", tmp_path / "out", "--overlay", "none", "--table", "parquet")
    assert first.exit_code == 1 and "1 of 3 videos failed: broken" in first.output and "not a video" in first.output
    assert "a: 4 frames, 100% of them with a face" in first.output
    made = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*"))
    assert made == ["a.landmarks.parquet", "sub/b.landmarks.parquet"]
    tiny.write_video(tmp_path / "in/broken.mp4", [True] * 4)
    again = track(tmp_path / "in", tmp_path / "out", "--overlay", "none", "--table", "parquet")
    assert again.exit_code == 0
    assert [line.split(",")[0] for line in again.output.splitlines()] == ["a: done before", "broken: 4 frames", "sub/b: done before"]


def test_a_folder_tracks_what_has_changed_and_overwrites_nothing_else(tmp_path):
    video = tiny.write_video(tmp_path / "in/a.mp4", [True] * 4)
    assert track(tmp_path / "in", tmp_path / "out").exit_code == 0
    assert "done before" in track(tmp_path / "in", tmp_path / "out").output  # one video in a folder is a folder, too
    table = tmp_path / "out/a.landmarks.csv"
    later = table.stat().st_mtime + 10
    tiny.write_video(video, [True] * 6)
    os.utime(video, (later, later))
    assert track(tmp_path / "in", tmp_path / "out").exit_code == 0 and len(read_rows(table)) == 6
    (tmp_path / "out/a.overlay.mp4").unlink()
    table.write_text("precious")
    refused = track(tmp_path / "in", tmp_path / "out")
    assert refused.exit_code == 1 and "--overwrite" in refused.output and table.read_text() == "precious"


@pytest.mark.parametrize(("mode", "calls"), [("tracker", True), ("detector", False)])
def test_the_mode_that_is_asked_for_runs(video, tmp_path, monkeypatch, mode, calls):
    tracked = []
    original = ModelPair.track
    monkeypatch.setattr(ModelPair, "track", lambda *arguments: tracked.append(1) or original(*arguments))
    assert track(video, tmp_path / "out", "--mode", mode).exit_code == 0
    assert bool(tracked) == calls


def test_frames_of_another_size_go_into_the_same_files(tmp_path):
    def frames():
        for frame in range(3):
            yield frame, frame / 25, tiny.picture(frame, True)
        yield 3, 0.12, tiny.picture(3, True, 480, 640)

    done = track_frames(frames(), Tracker(tiny.models_dir()), tmp_path / "a.mp4", tmp_path / "a.csv", lambda count: None)
    assert done.frames == 4 and probe(tmp_path / "a.mp4").width == 320
    assert [row["state"] for row in read_rows(tmp_path / "a.csv")] == ["tracking"] * 4


def test_no_table_without_its_video(video, tmp_path, monkeypatch):
    def full(writer, *error):
        raise OSError("no space left on device")

    monkeypatch.setattr(VideoWriter, "__exit__", full)
    result = track(video, tmp_path / "out")
    assert result.exit_code == 1 and "no space left" in result.output and not (tmp_path / "out/clip.landmarks.csv").exists()


def test_a_folder_of_images_is_one_video(tmp_path):
    (tmp_path / "seq").mkdir()
    for frame in range(4):
        cv2.imwrite(str(tmp_path / f"seq/{frame}.png"), tiny.picture(frame, True))
    result = track(tmp_path / "seq", tmp_path / "seq.webm", "--raw", "--faces", "2")
    assert result.exit_code == 0, result.output
    assert probe(tmp_path / "seq.webm").num_frames == 4 and len(read_rows(tmp_path / "seq.csv")) == 4


class FakeCamera:
    """Four pictures, then it is unplugged."""

    def __init__(self, number):
        self.frame, self.number = -1, number

    def isOpened(self):  # noqa: N802
        return self.number == 7

    def read(self):
        self.frame += 1
        return self.frame < 4, tiny.picture(self.frame, True)

    def release(self):
        pass


def test_a_camera_that_is_unplugged_or_ended_keeps_what_it_gave(tmp_path, monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", FakeCamera)
    result = track(7, tmp_path)
    assert result.exit_code == 1 and "camera 7 gives no more pictures after 4 frames" in result.output
    assert len(read_rows(tmp_path / "camera7.landmarks.csv")) == 4

    def pressed(camera):
        if camera.frame == 2:
            signal.raise_signal(signal.SIGINT)
        camera.frame += 1
        return True, tiny.picture(camera.frame, True)

    monkeypatch.setattr(FakeCamera, "read", pressed)
    ended = track(7, tmp_path, "--overwrite")
    assert ended.exit_code == 0 and len(read_rows(tmp_path / "camera7.landmarks.csv")) == 3
    missing = track(8, tmp_path)
    assert missing.exit_code == 1 and "camera 8 cannot be opened" in missing.output and not (tmp_path / "camera8.landmarks.csv").exists()


def test_bench_prints_every_figure(monkeypatch, tmp_path, capsys):
    video = tiny.write_video(tmp_path / "clip.mp4", [True] * 12)
    from strrn.runtime import benchmark, timing

    for module in (benchmark, timing):
        monkeypatch.setattr(module, "FaceDetector", tiny.SquareFaces)

    def in_this_process(command, **options):
        capsys.readouterr()
        benchmark._fresh(*command[3:])
        return subprocess.CompletedProcess(command, 0, capsys.readouterr().out, "")

    with pytest.raises(ValueError, match=r"only 0\.0 of 4 faces side by side"):  # the stand-in for MTCNN sees one square, not four
        benchmark.benchmark(tiny.models_dir(), video)
    loop = timing.loop_frames_per_second
    monkeypatch.setattr(benchmark, "loop_frames_per_second", lambda pair, frames, faces=1: (loop(pair, frames)[0], faces))
    monkeypatch.setattr(benchmark.subprocess, "run", in_this_process)
    figures = benchmark.benchmark(tiny.models_dir(), video)
    assert set(figures) == {*benchmark.MEANINGS, "peers", "machine"}
    assert all(figures[name] > 0 for name in benchmark.MEANINGS)
    monkeypatch.setattr(benchmark, "benchmark", lambda models, video: figures)
    shown = strrn("bench", video, "--models", tiny.models_dir())
    assert shown.exit_code == 0 and all(meaning in shown.output for meaning in benchmark.MEANINGS.values())
    assert json.loads(strrn("bench", video, "--json", "--models", tiny.models_dir()).output) == figures


def test_bench_without_a_face(tmp_path, monkeypatch):
    from strrn.runtime import benchmark

    monkeypatch.setattr(benchmark, "FaceDetector", tiny.SquareFaces)
    video = tiny.write_video(tmp_path / "empty.mp4", [False] * 4)
    result = strrn("bench", video, "--models", tiny.models_dir())
    assert result.exit_code == 1 and "no face is found in this video" in result.output


def test_a_clip_without_a_face(tmp_path):
    video = tiny.write_video(tmp_path / "empty_room.mp4", [False] * 5)
    result = track(video, tmp_path / "out")
    assert result.exit_code == 0 and "--rotate 90" in result.output
    assert "warning: no face was found" in result.output and "5, 0% of them" in result.output
    assert [row["state"] for row in read_rows(tmp_path / "out" / "empty_room.landmarks.csv")] == ["searching"] * 5


def test_a_missing_video(tmp_path):
    result = track(tmp_path / "nowhere.mp4", tmp_path / "out")
    assert result.exit_code == 1 and f"error: no video at {tmp_path / 'nowhere.mp4'}" in result.output


@pytest.mark.parametrize(("content", "message"), [(b"", "empty"), (b"this is text" * 100, "not a video")])
def test_what_is_no_video(tmp_path, content, message):
    video = tmp_path / "clip.mp4"
    video.write_bytes(content)
    result = track(video, tmp_path / "out")
    assert result.exit_code == 1 and message in result.output and str(video) in result.output
    assert "Traceback" not in result.output and not (tmp_path / "out").exists()


def test_a_cut_video_gives_what_it_had(tmp_path):
    whole = tiny.write_video(tmp_path / "whole.mp4", [True] * 40)
    video = tmp_path / "cut.mp4"
    video.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.75)])
    result = track(video, tmp_path / "out")
    rows = read_rows(tmp_path / "out" / "cut.landmarks.csv")
    assert result.exit_code == 1
    assert 0 < len(rows) < 40 and f"The files hold the {len(rows)} frames before the damage" in result.output
    assert probe(tmp_path / "out" / "cut.overlay.mp4").num_frames == len(rows)


def test_a_damaged_video_of_a_folder_is_not_forgotten(tmp_path):
    whole = tiny.write_video(tmp_path / "in/whole.mp4", [True] * 40)
    (tmp_path / "in/cut.mp4").write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.75)])
    first, again = (track(tmp_path / "in", tmp_path / "out") for _ in range(2))
    for result in (first, again):
        assert result.exit_code == 1 and "frames before the damage" in result.output and "1 of 2 videos failed: cut" in result.output
    assert "whole: done before" in again.output
    (tmp_path / "in/cut.mp4").write_bytes(whole.read_bytes())
    os.utime(tmp_path / "in/cut.mp4", (whole.stat().st_mtime + 99,) * 2)
    assert track(tmp_path / "in", tmp_path / "out").exit_code == 0 and not list((tmp_path / "out").glob("*.damaged.txt"))


def test_several_videos_are_a_collection(tmp_path):
    videos = [tiny.write_video(tmp_path / name / "clip.mp4", [True] * 3) for name in ("a", "b")]
    other = tiny.write_video(tmp_path / "a/other.mp4", [True] * 3)
    result = strrn("track", videos[0], other, "-o", tmp_path / "out", "--models", tiny.models_dir())
    assert result.exit_code == 0 and len(list((tmp_path / "out").iterdir())) == 4
    same_name = strrn("track", *videos, "-o", tmp_path / "out", "--models", tiny.models_dir())
    assert same_name.exit_code == 1 and "would both become" in same_name.output
    one_file = strrn("track", videos[0], other, "-o", tmp_path / "out.mp4", "--models", tiny.models_dir())
    assert one_file.exit_code == 1 and "several videos need a folder" in one_file.output


def test_files_that_are_left_out_are_named(tmp_path):
    tiny.write_video(tmp_path / "in/a.mp4", [True] * 3)
    (tmp_path / "in/b.vob").touch()
    assert "not tracked, since" in track(tmp_path / "in", tmp_path / "out").output
    assert "b.vob" in track(tmp_path / "in", tmp_path / "in").output and "landmarks" not in track(tmp_path / "in", tmp_path / "in").output


def test_ctrl_c_says_what_is_lost_and_leaves_nothing(video, tmp_path, monkeypatch):
    def interrupted(tracker, frame, seconds):
        if seconds > 0.1:
            raise KeyboardInterrupt
        return [tracker.nobody()]

    monkeypatch.setattr("strrn.runtime.tracker.Tracker.__call__", interrupted)
    result = track(video, tmp_path / "out")
    assert result.exit_code == 130 and "stopped after 3 frames of clip, of which nothing is kept" in result.output
    assert list((tmp_path / "out").iterdir()) == []


def test_an_empty_name_is_not_this_folder(tmp_path):
    result = track("", tmp_path / "out")
    assert result.exit_code == 1 and "IN is empty" in result.output


def test_options_that_cannot_go_together_are_named_as_options(video, tmp_path):
    assert "--refine cannot go with --raw" in track(video, tmp_path / "out", "--refine", "--raw").output
    assert "--refine cannot go with --mode tracker" in track(video, tmp_path / "out", "--refine", "--mode", "tracker").output


def test_the_version():
    assert strrn("--version").output.startswith("strrn 0.")


def test_missing_models_say_what_to_do(video, tmp_path):
    result = strrn("track", video, "-o", tmp_path / "out", "--models", tmp_path / "none")
    assert result.exit_code == 1 and "dvc repro" in result.output and "--models" in result.output
    assert not (tmp_path / "out").exists()


def test_unknown_mode_and_unknown_output(video, tmp_path):
    assert "expected one of tracker, detector" in track(video, tmp_path / "out", "--mode", "both").output
    assert "expected a folder or a name that ends in .mp4 or .webm" in track(video, tmp_path / "out.avi").output


def test_info():
    result = strrn("info", tiny.models_dir() / "tracker.onnx")
    assert result.exit_code == 0
    for text in ("tracker", "r2", "5 (five)", "315 x 315", "start_points_crop", "CC0", "max_cycle_error 0.1"):
        assert text in result.output
    assert "detector.onnx" not in strrn("info").output and strrn("info").exit_code == 0  # the tracker that `track` would take
    missing = strrn("info", "nothing.onnx")
    assert missing.exit_code == 1 and "no model at nothing.onnx" in missing.output


def test_info_draws_the_landmarks(tmp_path):
    command = ("info", tiny.models_dir() / "tracker.onnx", "--picture", tmp_path / "landmarks.svg")
    assert strrn(*command).exit_code == 0 and (tmp_path / "landmarks.svg").read_text().count("<circle") == 5
    again = strrn(*command)
    assert again.exit_code == 1 and "landmarks.svg is there already: give --overwrite" in again.output


def test_help_names_the_outputs():
    result = CliRunner().invoke(app, ["track", "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"})
    assert "VIDEO.landmarks.csv" in result.output and "--overwrite" in result.output and "Example" in result.output


def test_user_side_imports_nothing_of_the_training_side():
    code = (
        "import sys, strrn.cli, strrn.runtime.models, strrn.runtime.video, strrn.core.face_detection;"
        "print([name for name in ('torch', 'dvc', 'prefect', 'omegaconf', 'onnx', 'yaml') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    code = "import sys, strrn.cli; print([name for name in ('cv2', 'av', 'onnxruntime', 'pyarrow') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_a_folder_may_be_called_like_a_video(video, tmp_path):
    (tmp_path / "out.mp4").mkdir()
    assert track(video, tmp_path / "out.mp4").exit_code == 0
    assert (tmp_path / "out.mp4/clip.overlay.mp4").is_file()


def test_overlays_of_an_earlier_run_are_not_tracked(tmp_path):
    for name in ("a", "b"):
        tiny.write_video(tmp_path / f"{name}.mp4", [True] * 3)
    for _ in range(2):
        result = strrn("track", *sorted(tmp_path.glob("*.mp4")), "-o", tmp_path, "--models", tiny.models_dir())
        assert result.exit_code == 0, result.output
    assert sorted(file.name for file in tmp_path.glob("*.mp4")) == ["a.mp4", "a.overlay.mp4", "b.mp4", "b.overlay.mp4"]


def test_a_table_is_not_a_folder(video, tmp_path):
    assert "expected a folder or a name that ends in .mp4 or .webm" in track(video, tmp_path / "points.csv").output
    assert track(video, tmp_path / "results.v2").exit_code == 0 and (tmp_path / "results.v2/clip.overlay.mp4").is_file()


def test_a_background_job_of_a_script_ends_with_sigterm(tmp_path):
    """Such a job ignores SIGINT, as a child of a shell that does not talk to anybody."""
    video = tiny.write_video(tmp_path / "long.mp4", [False] * 2000)
    command = [Path(sys.executable).with_name("strrn"), "track", video, "-o", tmp_path / "out", "--models", tiny.models_dir()]
    job = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    while not list(tmp_path.glob("out/.*.tmp.mp4")):
        assert job.poll() is None
        time.sleep(0.05)
    job.terminate()
    assert "frames of long, of which nothing is kept" in job.communicate(timeout=60)[1]
    assert job.returncode != 0 and list((tmp_path / "out").iterdir()) == []
