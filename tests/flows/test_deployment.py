"""`make serve` and `prefect deployment run`, as docs/prefect.md says, on a DVC repository whose only stage takes no time."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
BINARIES = Path(sys.executable).parent
DVC_YAML = """
stages:
  only:
    cmd: echo hello from only && echo 1 > only.txt
    outs: [only.txt]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    shutil.copytree(ROOT / "flows", folder / "flows", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("prefect.yaml", "prefect.toml"):
        shutil.copy(ROOT / name, folder)
    (folder / ".dvc").mkdir()
    (folder / ".dvc/config").write_text("[core]\n    analytics = false\n")
    (folder / "dvc.yaml").write_text(DVC_YAML)
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    return folder


def test_a_deployment_runs_the_stages_on_a_worker(project: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "PATH": os.pathsep.join([str(BINARIES), os.environ["PATH"]]),
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "DO_NOT_TRACK": "1",
    }
    log = (tmp_path / "serve.log").open("w+")
    serve = subprocess.Popen(["./flows/serve.sh"], cwd=project, env=environment, stdout=log, stderr=log, start_new_session=True)
    watchdog = threading.Timer(240, os.killpg, (serve.pid, signal.SIGKILL))
    watchdog.start()
    try:
        while "Worker 'ProcessWorker" not in (said := (tmp_path / "serve.log").read_text()):
            assert serve.poll() is None, said
            threading.Event().wait(0.2)
        command = ["prefect", "deployment", "run", "train/local", "--watch", "--param", f"targets={json.dumps(['only'])}"]
        done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr + (tmp_path / "serve.log").read_text()
        assert (project / "only.txt").read_text() == "1\n"
        assert "hello from only" in (tmp_path / "serve.log").read_text()
    finally:
        watchdog.cancel()
        os.killpg(serve.pid, signal.SIGTERM)
        serve.wait(60)
        log.close()
