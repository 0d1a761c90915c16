"""The flow on real small videos, with real models and the real command; there is no face in them, so MTCNN finds none."""

import contextlib
import csv
import json
import os
import re
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from flows import annotate as module
from flows import cluster
from flows.annotate import annotate, count_states, find_videos
from tests.flows.conftest import artifact, assert_ends, started
from tests.runtime import tiny


@pytest.fixture
def videos(tmp_path):
    folder = tmp_path / "videos"
    (folder / "sub").mkdir(parents=True)
    tiny.write_video(folder / "a.mp4", [False] * 5)
    tiny.write_video(folder / "sub/a.mp4", [False] * 7)
    return folder


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_video_is_tracked_once(server, videos, tmp_path):
    out = tmp_path / "out"
    rows = annotate(str(videos), str(out), str(tiny.models_dir()))
    assert [(row["video"], row["state"], row["frames"], row["with_face"]) for row in rows] == [
        ("a.mp4", "done", 5, 0),
        ("sub/a.mp4", "done", 7, 0),
    ]
    assert {path.name for path in (out / "sub/a.mp4").iterdir()} == {"a.overlay.mp4", "a.landmarks.csv", "summary.json"}
    assert [row["frames"] for row in rows_of(out / "summary.csv")] == ["5", "7"] and artifact("annotate") == rows

    written = (out / "a.mp4/a.overlay.mp4").stat().st_mtime_ns
    tiny.write_video(videos / "b.mp4", [False] * 4)
    tiny.write_video(videos / "sub/a.mp4", [False] * 9)  # another version of it
    assert [row["frames"] for row in annotate(str(videos), str(out), str(tiny.models_dir()))] == [5, 4, 9]
    assert (out / "a.mp4/a.overlay.mp4").stat().st_mtime_ns == written


def test_a_broken_video_fails_alone_and_a_damaged_one_is_said_to_be(server, videos, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "annotate_video", module.annotate_video.with_options(retries=0))
    (videos / "broken.mp4").write_bytes(b"no video at all")
    long = tiny.write_video(tmp_path / "long.avi", [False] * 60).read_bytes()
    (videos / "cut.avi").write_bytes(long[: len(long) * 2 // 3])
    out = tmp_path / "out"
    state = annotate(str(videos), str(out), str(tiny.models_dir()), return_state=True)
    rows = {row["video"]: row for row in rows_of(out / "summary.csv")}
    assert rows["a.mp4"]["state"] == rows["sub/a.mp4"]["state"] == "done"
    assert rows["broken.mp4"]["state"] == "failed" and "broken.mp4" in rows["broken.mp4"]["detail"]
    assert state.is_failed() and "of 4 videos failed" in state.message and "broken.mp4" in state.message
    assert not (out / "broken.mp4/summary.json").exists()


def test_what_is_missing_is_named(videos, tmp_path):
    with pytest.raises(FileNotFoundError, match="is no folder"):
        find_videos(tmp_path / "nowhere", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="holds no video"):
        find_videos(tmp_path / "empty", tmp_path / "out")
    with pytest.raises(FileNotFoundError, match="dvc repro export"):
        module.hash_models(tmp_path)
    assert find_videos(tmp_path, videos / "sub") == [videos / "a.mp4"]  # results are no videos to track


def test_parameters_are_checked_first(server, videos, tmp_path):
    state = annotate(str(videos), str(tmp_path / "out"), faces=0, return_state=True)
    assert state.is_failed() and "faces" in state.message and not (tmp_path / "out").exists()


def test_states_are_counted(tmp_path):
    # Frames 3 and 7 say that a face was lost; in frame 5 there are two.
    rows = [
        "0,,searching",
        "1,0,tracking",
        "2,0,uncertain",
        "3,0,lost",
        "4,,lost",
        "5,0,tracking",
        "5,1,tracking",
        "6,0,tracking",
        "7,0,lost",
    ]
    (tmp_path / "t.csv").write_text("\n".join(["frame,face_id,state", *rows]) + "\n")
    assert count_states(tmp_path / "t.csv") == {"frames": 8, "with_face": 0.5, "times_lost": 2}


def test_a_record_of_other_models_does_not_count(server, videos, tmp_path):
    out = tmp_path / "out"
    annotate(str(videos), str(out), str(tiny.models_dir()))
    record = out / "a.mp4/summary.json"
    content = json.loads(record.read_text())
    record.write_text(json.dumps({"identity": content["identity"] | {"models": "others"}, "row": content["row"] | {"frames": 99}}))
    assert annotate(str(videos), str(out), str(tiny.models_dir()))[0]["frames"] == 5


def test_videos_are_tracked_on_a_dask_cluster_whose_worker_is_killed(server, videos, tmp_path, monkeypatch):
    from distributed import LocalCluster

    here = annotate(str(videos), str(tmp_path / "here"), str(tiny.models_dir()))
    for number in range(4):
        tiny.write_video(videos / f"more{number}.mp4", [False] * 150)
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0", host="127.0.0.1") as workers:
        monkeypatch.setenv(cluster.ADDRESS, workers.scheduler_address)
        killer = threading.Timer(2.0, os.kill, (next(iter(workers.workers.values())).pid, signal.SIGKILL))
        killer.start()
        there = annotate(str(videos), str(tmp_path / "there"), str(tiny.models_dir()))
        killer.join()
    assert [row["state"] for row in there] == ["done"] * 6
    assert [row for row in there if not row["video"].startswith("more")] == here
    for name in ("a.mp4/a.landmarks.csv", "sub/a.mp4/a.overlay.mp4"):
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "there" / name).read_bytes()


def tracked_videos() -> dict[int, str]:
    """Names of the videos that are being tracked, by process."""
    found = {}
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if name := re.search(rb"\0videos/(.*?)\0", file.read_bytes()):
                found[int(file.parent.name)] = name[1].decode()
    return found


@pytest.mark.parametrize("where", ["here", "on a cluster"])
def test_a_cancelled_flow_ends_what_it_started(environment, tmp_path, monkeypatch, where):
    """Four long videos, two workers: even where the first should end before the second begins, the last has not begun yet, and must not."""
    from distributed import LocalCluster

    (tmp_path / "videos").mkdir()
    tiny.write_video(tmp_path / "videos/0.mp4", [False] * 3000)
    for number in (1, 2, 3):
        shutil.copy(tmp_path / "videos/0.mp4", tmp_path / f"videos/{number}.mp4")
    command = [sys.executable, "-m", "flows.annotate", "videos", "-o", "out", "--models", str(tiny.models_dir()), "--workers", "2"]
    with contextlib.ExitStack() as stack:
        if where == "on a cluster":
            workers = stack.enter_context(LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0", host="127.0.0.1"))
            environment = environment | {cluster.ADDRESS: workers.scheduler_address}
        monkeypatch.chdir(tmp_path)
        flow = stack.enter_context(started(command, environment))
        while len(tracked := tracked_videos()) < 2:
            assert flow.poll() is None, flow.stdout.read()
            time.sleep(0.1)
        flow.send_signal(signal.SIGINT)
        said = flow.stdout.read()
        assert flow.wait(30) != 0
        for pid in tracked:
            assert_ends(pid)
    assert not [name for name in tracked.values() if Path("out", name, module.RECORD).exists()], said
    assert not list(Path("out/3.mp4").glob("*")) and "Retry" not in said, said
