"""The flow on real small videos, with real models and the real command; there is no face in them, so MTCNN finds none."""

import contextlib
import csv
import json
import os
import re
import shutil
import signal
import socket
import sys
import threading
import time
from pathlib import Path

import pytest

from flows import annotate as module
from flows import cluster, process_group
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
    whole = tiny.write_video(tmp_path / "whole.mp4", [True] * 40).read_bytes()
    (videos / "cut.mp4").write_bytes(whole[: len(whole) * 3 // 4])
    out = tmp_path / "out"
    state = annotate(str(videos), str(out), str(tiny.models_dir()), return_state=True)
    rows = {row["video"]: row for row in rows_of(out / "summary.csv")}
    assert rows["a.mp4"]["state"] == rows["sub/a.mp4"]["state"] == "done"
    assert rows["broken.mp4"]["state"] == "failed" and "broken.mp4" in rows["broken.mp4"]["detail"]
    assert rows["cut.mp4"]["state"] == "damaged" and 0 < int(rows["cut.mp4"]["frames"]) < 40
    assert state.is_failed() and "4 videos: 2 done, 1 failed, 1 damaged" in state.message and "broken.mp4: failed" in state.message
    assert not (out / "broken.mp4/summary.json").exists()


def test_what_is_missing_is_named(videos, tmp_path):
    with pytest.raises(FileNotFoundError, match="is no folder"):
        find_videos(tmp_path / "nowhere", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="holds no video"):
        find_videos(tmp_path / "empty", tmp_path / "out")
    with pytest.raises(FileNotFoundError, match=r"tracker\.onnx is missing: run `dvc repro`"):
        module.hash_models(tmp_path)
    (videos / "notes.txt").write_text("no video")
    (videos / "._a.mp4").write_bytes(b"of macOS")
    (videos / "linked").symlink_to(tmp_path / "empty")
    # Results are no videos to track.
    assert find_videos(videos, videos / "sub") == ([videos / "a.mp4"], [videos / "linked", videos / "notes.txt"])


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


def test_results_that_are_gone_and_records_that_cannot_be_read_are_made_again(server, videos, tmp_path):
    out = tmp_path / "out"
    annotate(str(videos), str(out), str(tiny.models_dir()))
    (out / "a.mp4/a.landmarks.csv").unlink()
    (out / "sub/a.mp4/summary.json").write_text("")
    assert [row["state"] for row in annotate(str(videos), str(out), str(tiny.models_dir()))] == ["done", "done"]
    assert (out / "a.mp4/a.landmarks.csv").is_file() and json.loads((out / "sub/a.mp4/summary.json").read_text())["row"]["frames"] == 7


def test_options_of_the_command_reach_it(server, videos, tmp_path):
    out = tmp_path / "out"
    annotate(str(videos), str(out), str(tiny.models_dir()), overlay="none", min_face=0.05)
    assert {path.name for path in (out / "a.mp4").iterdir()} == {"a.landmarks.csv", "summary.json"}
    assert json.loads((out / "a.mp4/summary.json").read_text())["identity"]["min_face"] == 0.05
    annotate(str(videos), str(out), str(tiny.models_dir()), rotate=90)
    assert (out / "a.mp4/a.overlay.mp4").is_file()


def test_the_command_ends_with_one_line(server, tmp_path, capsys):
    with pytest.raises(SystemExit, match=r"^error: .*nowhere is no folder"):
        module.main([str(tmp_path / "nowhere"), "-o", str(tmp_path / "out")])
    with pytest.raises(SystemExit, match=r"(?s)^error: .*faces: Input should be greater"):
        module.main([str(tmp_path), "-o", str(tmp_path / "out"), "--faces", "0"])
    with pytest.raises(SystemExit):
        module.main([str(tmp_path), "-o", str(tmp_path / "out"), "--workers", "0"])
    assert "--workers 0: expected 1 or more" in capsys.readouterr().err


def test_workers_of_a_cluster_need_no_flows_and_forget_a_cancelled_flow(environment, videos, tmp_path, monkeypatch):
    """Scheduler and worker as docs/scale.md starts them, in another folder: what they run has to come with the task."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    clean = {name: value for name, value in environment.items() if name != "PYTHONPATH"}
    dask = str(Path(sys.executable).with_name("dask"))
    with contextlib.ExitStack() as stack:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        monkeypatch.chdir(elsewhere)
        stack.enter_context(started([dask, "scheduler", "--host", address, "--no-dashboard"], clean))
        stack.enter_context(started([dask, "worker", address, "--nthreads", "1", "--no-dashboard"], clean))
        monkeypatch.chdir(videos.parent)
        monkeypatch.setenv(cluster.ADDRESS, address)
        with cluster.opened():
            cluster.run(["true"], print)
            with pytest.raises(process_group.CommandError, match="exit status 1"):
                cluster.run(["false"], print)
            stop = threading.Timer(1, cluster.end_all)
            stop.start()
            with pytest.raises(process_group.CommandError, match="cancelled, on the cluster too"):
                cluster.run(["sleep", "60"], print)
        with cluster.opened():
            cluster.run(["true"], print)


def test_a_cluster_that_cannot_be_used_is_said_before_anything_runs(server, videos, tmp_path, monkeypatch):
    import dask

    monkeypatch.setenv(cluster.ADDRESS, "tcp://127.0.0.1:9")
    with dask.config.set({"distributed.comm.timeouts.connect": "1s"}):
        state = annotate(str(videos), str(tmp_path / "out"), str(tiny.models_dir()), return_state=True)
    assert state.is_failed() and "no Dask scheduler answers" in state.message and not (tmp_path / "out").exists()


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
    assert not Path("out/3.mp4").exists() and "Retry" not in said, said
    assert {row["video"]: row["state"] for row in rows_of(Path("out/summary.csv"))}["3.mp4"] == "not done"
