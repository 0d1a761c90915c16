"""What the tests of the flows share: one Prefect server, an author for git, and a flow that is stopped by Ctrl-C."""

import gc
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
DVC = (sys.executable, "-m", "dvc")
FLOW_SECONDS = 120


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Prefect leaves sockets to its server to the garbage collector, which comes by in any test."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"))


@pytest.fixture(scope="package")
def server(tmp_path_factory) -> Iterator[None]:
    """A Prefect server for all tests of this folder, with its database in a temporary folder and no usage reports."""
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
def environment(server: None) -> dict[str, str]:
    """For a flow on the command line, in whatever folder: this code, and this Prefect server."""
    from prefect.settings import PREFECT_API_URL

    return os.environ | {"PYTHONPATH": str(ROOT), "PREFECT_API_URL": PREFECT_API_URL.value(), "PYTHONUNBUFFERED": "1"}


@pytest.fixture(autouse=True, scope="package")
def author() -> Iterator[None]:
    """Of commits, on a machine where nobody told git."""
    with pytest.MonkeyPatch.context() as patch:
        for who in ("AUTHOR", "COMMITTER"):
            patch.setenv(f"GIT_{who}_NAME", "t")
            patch.setenv(f"GIT_{who}_EMAIL", "t@example.org")
        yield


def artifact(key: str) -> list[dict]:
    """The rows of a table artifact."""
    from prefect.artifacts import Artifact

    return json.loads(Artifact.get(key).data)


def alive(pid: int) -> bool:
    """Whether the process runs (a zombie, which nobody may have waited for, does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def assert_ends(pid: int, seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while alive(pid):
        assert time.monotonic() < deadline, f"process {pid} still runs after {seconds} s"
        time.sleep(0.02)


@contextmanager
def started(command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen]:
    """A flow in a process of its own, whose lines are to be read; it is killed after two minutes, and at the end."""
    flow = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # A shell starts what runs in the background with SIGINT ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    watchdog = threading.Timer(FLOW_SECONDS, flow.kill)
    watchdog.start()
    try:
        with flow.stdout:
            yield flow
    finally:
        watchdog.cancel()
        flow.kill()
        flow.wait()


def pids_in(line: str) -> list[int]:
    """Of a line of a flow's log, in which a stage said `pid …`."""
    return [int(pid) for pid in re.findall(r"- pid (\d+)$", line.rstrip())]


def interrupt(command: list[str], environment: dict[str, str], num_processes: int) -> str:
    """Start a flow, wait until the log has the `pid …` of so many processes, press Ctrl-C: flow and processes have to end, the flow not
    well. Returns what it writes after that."""
    pids, seen = [], []
    with started(command, environment) as flow:
        while len(pids) < num_processes and (line := flow.stdout.readline()):
            seen.append(line)
            pids += pids_in(line)
        assert len(pids) == num_processes and all(map(alive, pids)), "".join(seen)
        flow.send_signal(signal.SIGINT)
        rest = flow.stdout.read()
        assert flow.wait(30) != 0
    for pid in pids:
        assert_ends(pid)
    return rest
