"""`make serve`, `prefect deployment run` and `prefect flow-run cancel`, as docs/prefect.md says, with stages that only wait."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.flows.conftest import ROOT, assert_ends

BINARIES = Path(sys.executable).parent
SECONDS = 240  # for anything to happen
DVC_YAML = """
stages:
  only:
    cmd: echo hello from only && echo 1 > only.txt
    outs: [only.txt]
  endless:
    cmd: echo $$ > pid && sleep 300
  slow:
    cmd: echo $$ > pid && while [ ! -e go ]; do sleep 0.1; done && echo 1 > slow.txt
    outs: [slow.txt]
  talkative:
    cmd: echo $$ > pid && while sleep 0.5; do echo something; done
"""


@dataclass(frozen=True)
class Served:
    project: Path
    environment: dict[str, str]
    serve: subprocess.Popen
    log: Path

    def prefect(self, *arguments: str) -> str:
        done = subprocess.run(["prefect", *arguments], cwd=self.project, env=self.environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr + self.log.read_text()
        return done.stdout

    def run(self, stage: str) -> str:
        """Id of a new run of the deployment."""
        said = self.prefect("deployment", "run", "train/local", "--param", f"targets={json.dumps([stage])}")
        return re.search(r"UUID: (\S+)", said)[1]

    def state(self, run: str) -> str:
        with urllib.request.urlopen(f"{self.environment['PREFECT_API_URL']}/flow_runs/{run}") as answer:
            return json.load(answer)["state"]["type"]

    def wait(self, happens: Callable[[], bool]) -> None:
        deadline = time.monotonic() + SECONDS
        while not happens():
            assert time.monotonic() < deadline and self.serve.poll() is None, self.log.read_text()
            time.sleep(0.1)

    def pid(self) -> int:
        """Of the shell of the stage that waits."""
        file = self.project / "pid"
        self.wait(lambda: file.is_file() and file.read_text().strip() != "")
        return int(file.read_text())


def command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def flow_process(pid: int) -> int:
    """Prefect's process above that of a stage."""
    while "prefect" not in command_line(pid):
        pid = parent(pid)
    return pid


def worker_process(pid: int) -> int:
    """The worker above the process of a flow."""
    while "worker start" not in command_line(pid):
        pid = parent(pid)
    return pid


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    project, log = folder / "project", folder / "serve.log"
    shutil.copytree(ROOT / "flows", project / "flows", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("prefect.yaml", "prefect.toml"):
        shutil.copy(ROOT / name, project)
    (project / ".dvc").mkdir()
    (project / ".dvc/config").write_text("[core]\n    analytics = false\n")
    (project / "dvc.yaml").write_text(DVC_YAML)
    subprocess.run(["git", "init", "-q", str(project)], check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "PATH": os.pathsep.join([str(BINARIES), os.environ["PATH"]]),
        "PYTHONPATH": str(ROOT),  # of strrn.core
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "DO_NOT_TRACK": "1",
        "NO_PROXY": "127.0.0.1",
    }
    with log.open("w") as file:
        serve = subprocess.Popen(["./flows/serve.sh"], cwd=project, env=environment, stdout=file, stderr=file, start_new_session=True)
    watchdog = threading.Timer(5 * SECONDS, os.killpg, (serve.pid, signal.SIGKILL))
    watchdog.start()
    here = Served(project, environment, serve, log)
    try:
        here.wait(lambda: "Worker 'ProcessWorker" in log.read_text())
        yield here
    finally:
        watchdog.cancel()
        serve.terminate()
        serve.wait(60)


@pytest.fixture(autouse=True)
def nothing_waits(served: Served) -> None:
    for name in ("pid", "go"):
        (served.project / name).unlink(missing_ok=True)


def test_a_deployment_runs_the_stages_on_a_worker(served: Served) -> None:
    served.prefect("deployment", "run", "train/local", "--watch", "--param", 'targets=["only"]')
    assert (served.project / "only.txt").read_text() == "1\n"
    assert "hello from only" in served.log.read_text()


def test_wrong_parameters_are_refused_before_anything_runs(served: Served) -> None:
    command = ["prefect", "deployment", "run", "release/local", "--param", "bump=big"]
    done = subprocess.run(command, cwd=served.project, env=served.environment, capture_output=True, text=True)
    assert done.returncode != 0 and "'big' is not one of ['major', 'minor', 'patch']" in " ".join((done.stdout + done.stderr).split())


def test_a_cancelled_run_ends_its_stage_and_the_run_that_waited_for_it_begins(served: Served) -> None:
    first = served.run("endless")
    stage = served.pid()
    second = served.run("only")
    time.sleep(12)  # the worker asks for runs every ten seconds
    assert (served.state(first), served.state(second)) == ("RUNNING", "SCHEDULED")
    served.prefect("flow-run", "cancel", first)
    served.wait(lambda: served.state(first) == "CANCELLED")
    assert_ends(stage)
    served.wait(lambda: served.state(second) == "COMPLETED")


def test_a_flow_whose_process_is_killed_has_crashed_and_the_next_run_goes_on(served: Served) -> None:
    first = served.run("slow")
    stage = served.pid()
    os.kill(flow_process(stage), signal.SIGKILL)
    served.wait(lambda: served.state(first) == "CRASHED")
    assert_ends(stage)
    (served.project / "go").touch()
    second = served.run("slow")
    served.wait(lambda: served.state(second) == "COMPLETED")
    assert (served.project / "slow.txt").is_file()


def test_a_flow_whose_worker_is_killed_has_crashed_and_another_worker_takes_the_next_run(served: Served) -> None:
    first = served.run("talkative")
    stage = served.pid()
    os.kill(worker_process(flow_process(stage)), signal.SIGKILL)
    served.wait(lambda: served.state(first) == "CRASHED")  # it cannot tell the worker what the stage says
    assert_ends(stage)
    assert "Another one starts" in served.log.read_text()
    second = served.run("only")
    served.wait(lambda: served.state(second) == "COMPLETED")


def test_the_end_of_serve_ends_worker_server_and_what_runs(served: Served) -> None:
    """The last test: it ends what the others use."""
    served.run("endless")
    stage = served.pid()
    flow = flow_process(stage)
    started = [served.serve.pid, flow, worker_process(flow), stage]
    served.serve.terminate()
    served.serve.wait(60)
    for pid in started:
        assert_ends(pid, 20)
    with pytest.raises(urllib.error.URLError):
        served.state("any")
