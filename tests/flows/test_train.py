"""The flow on a tiny DVC repository with stages that take no time."""

import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
DVC_YAML = """
stages:
  second:
    cmd: cp first.txt second.txt
    deps: [first.txt]
    outs: [second.txt]
  first:
    cmd: echo hello from first && echo 1 > first.txt
    outs: [first.txt]
  wrong:
    cmd: echo the cause && python -c "raise SystemExit('error in params.yaml')"
  endless:
    cmd: echo pid $$ && sh -c 'sleep 300 & echo pid $!; wait'
"""

# Prefect leaves sockets to its temporary server to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[None]:
    """A Prefect server of its own, with its database in a temporary folder and no usage reports."""
    values = {
        "PREFECT_HOME": str(tmp_path_factory.mktemp("prefect")),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_LOGGING_LEVEL": "INFO",
    }
    with pytest.MonkeyPatch.context() as patch:
        for key, value in values.items():
            patch.setenv(key, value)
        from prefect.testing.utilities import prefect_test_harness

        with prefect_test_harness(server_startup_timeout=60):
            yield
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "unclosed", ResourceWarning)
            gc.collect()


@pytest.fixture
def project(tmp_path: Path, monkeypatch) -> Path:
    """A git and DVC repository with DVC_YAML; it becomes the current folder."""
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[core]\n    analytics = false\n")
    (tmp_path / "dvc.yaml").write_text(DVC_YAML)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def table(key: str) -> list[dict]:
    from prefect.artifacts import Artifact

    return json.loads(Artifact.get(key).data)


def test_flow_runs_stages_in_order_and_a_second_run_changes_nothing(server, project: Path) -> None:
    from flows.train import train

    (project / "reports").mkdir()
    (project / "reports/metrics.json").write_text(json.dumps({"r0": {"auc": 0.5}, "frames": 7}))
    rows = train(["second"])
    assert [(row["stage"], row["state"]) for row in rows] == [("first", "ran"), ("second", "ran")]
    assert (project / "second.txt").read_text() == "1\n"
    assert table("metrics") == [{"metric": "r0.auc", "value": 0.5}, {"metric": "frames", "value": 7}]
    assert table("stages") == rows

    assert [row["state"] for row in train(["second"])] == ["unchanged", "unchanged"]
    assert [row["state"] for row in train(["first"], force=True)] == ["ran"]


def test_failing_stage_fails_the_flow_with_its_last_lines(server, project: Path) -> None:
    from flows.train import train

    state = train(["wrong"], return_state=True)
    assert state.is_failed() and not state.is_crashed()
    assert "repro --single-item wrong` failed with exit status" in state.message
    assert "the cause\nerror in params.yaml\n" in state.message


def test_unknown_target_fails_before_anything_runs(server, project: Path) -> None:
    from flows.train import train

    state = train(["first", "third"], return_state=True)
    assert state.is_failed() and "dvc.yaml has no stage 'third'" in state.message
    assert not (project / "first.txt").exists()


def test_cancelled_flow_ends_the_stage_and_its_grandchildren(server, project: Path) -> None:
    from prefect.settings import PREFECT_API_URL

    from tests.flows.test_process_group import alive, assert_ends

    shutil.copytree(ROOT / "flows", project / "flows")
    environment = os.environ | {"PREFECT_API_URL": PREFECT_API_URL.value(), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "flows.train", "endless"]
    flow = subprocess.Popen(
        command,
        cwd=project,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # A shell starts what runs in the background with SIGINT ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    watchdog = threading.Timer(120, flow.kill)
    watchdog.start()
    pids, seen = [], []
    with flow.stdout:
        while len(pids) < 2 and (line := flow.stdout.readline()):
            seen.append(line)
            _, found, pid = line.partition("- pid ")
            pids += [int(pid)] if found else []
        assert len(pids) == 2 and all(map(alive, pids)), "".join(seen)
        flow.send_signal(signal.SIGINT)  # Ctrl-C
        rest = flow.stdout.read()
        flow.wait(30)
    watchdog.cancel()
    for pid in pids:
        assert_ends(pid)
    assert flow.returncode != 0 and "Crash detected" in rest
