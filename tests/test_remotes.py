"""Data go to a remote and come back in a fresh clone: to a folder, and to S3, whose server moto runs on this machine."""

import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runtime import tiny

DVC = (sys.executable, "-m", "dvc")
DVC_YAML = """
stages:
  export:
    cmd: cp -r {models} models/export
    outs: [models/export]
"""
SERVER_SECONDS = 60


@pytest.fixture(autouse=True, scope="module")
def environment(tmp_path_factory) -> Iterator[None]:
    """An author for git, keys for S3, and none of the settings of whoever runs the tests."""
    values = {f"GIT_{who}_{what}": "t@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    values |= {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
    values |= {"AWS_EC2_METADATA_DISABLED": "true", "AWS_MAX_ATTEMPTS": "1", "NO_PROXY": "127.0.0.1"}
    values |= dict.fromkeys(("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"), str(tmp_path_factory.mktemp("home")))
    values |= {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    with pytest.MonkeyPatch.context() as patch:
        for key, value in values.items():
            patch.setenv(key, value)
        yield


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Path:
    """A git and DVC repository with small models, which do run, in models/export; committed."""
    folder = tmp_path_factory.mktemp("template")
    (folder / "models").mkdir()
    (folder / "dvc.yaml").write_text(DVC_YAML.format(models=tiny.models_dir()))
    run(folder, "git", "init", "-q")
    run(folder, *DVC, "init", "-q")
    run(folder, *DVC, "config", "core.analytics", "false")
    run(folder, *DVC, "repro", "-q")
    commit(folder, "models")
    return folder


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Path:
    """A copy of it for one test."""
    return shutil.copytree(template, tmp_path / "project")


@pytest.fixture(scope="module")
def s3(tmp_path_factory) -> Iterator[str]:
    """Address of an S3 server with the bucket `strrn`, in a process of its own."""
    log = tmp_path_factory.mktemp("s3") / "log"
    with log.open("w") as file:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
        server = subprocess.Popen(command, stdout=file, stderr=file)
    try:
        deadline = time.monotonic() + SERVER_SECONDS
        while not (found := re.search(r"Running on (http://127\.0\.0\.1:\d+)", log.read_text())):
            assert server.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        opener.open(urllib.request.Request(f"{found[1]}/strrn", method="PUT")).close()
        yield found[1]
    finally:
        server.terminate()
        server.wait(20)


def run(folder: Path, *command: str, ok: bool = True) -> str:
    """Output of a command, stdout and stderr; it must succeed, or fail where `ok` is false."""
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert (done.returncode == 0) == ok, done.stdout
    return done.stdout


def commit(folder: Path, message: str) -> None:
    run(folder, "git", "add", "--all")
    run(folder, "git", "commit", "-q", "-m", message)


def assert_comes_back(project: Path, clone: Path) -> None:
    """Push, and pull the exported models alone in a fresh clone."""
    commit(project, "remote")
    assert "3 files pushed" in run(project, *DVC, "push")  # two models and the list of them
    assert "Everything is up to date" in run(project, *DVC, "push")
    run(project.parent, "git", "clone", "-q", str(project), str(clone))
    assert not (clone / "models/export").exists()
    run(clone, *DVC, "pull", "models/export")
    made = {path.name: path.read_bytes() for path in (project / "models/export").iterdir()}
    assert set(made) == {"tracker.onnx", "detector.onnx"}
    assert {path.name: path.read_bytes() for path in (clone / "models/export").iterdir()} == made
    assert "up to date" in run(clone, *DVC, "status")


def test_models_come_back_from_a_folder_and_track_a_video(project: Path, tmp_path: Path) -> None:
    run(project, *DVC, "remote", "add", "-d", "store", str(tmp_path / "store"))
    clone = tmp_path / "clone"
    assert_comes_back(project, clone)
    tiny.write_video(clone / "my.mp4", [False] * 5)
    run(clone, "strrn", "track", "my.mp4")
    assert len((clone / "my.landmarks.csv").read_text().splitlines()) == 6  # a line for the columns, and one for each frame


def test_models_come_back_from_s3(project: Path, tmp_path: Path, s3: str) -> None:
    run(project, *DVC, "remote", "add", "-d", "store", "s3://strrn/dvc")
    run(project, *DVC, "remote", "modify", "store", "endpointurl", s3)
    assert_comes_back(project, tmp_path / "clone")


def test_keys_in_the_local_settings_are_not_committed(project: Path, s3: str, monkeypatch) -> None:
    """As docs/remotes.md says."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    run(project, *DVC, "remote", "add", "-d", "store", "s3://strrn/keys")
    run(project, *DVC, "remote", "modify", "store", "endpointurl", s3)
    commit(project, "remote")
    assert "Unable to locate credentials" in run(project, *DVC, "push", ok=False)
    run(project, *DVC, "remote", "modify", "--local", "store", "access_key_id", "key")
    run(project, *DVC, "remote", "modify", "--local", "store", "secret_access_key", "secret")
    assert "3 files pushed" in run(project, *DVC, "push")
    assert run(project, "git", "status", "--porcelain") == ""


def test_a_bucket_that_is_not_there_and_a_server_that_is_not_there_fail(project: Path, s3: str) -> None:
    run(project, *DVC, "remote", "add", "-d", "store", "s3://nobody/dvc")
    run(project, *DVC, "remote", "modify", "store", "endpointurl", s3)
    assert "bucket does not exist" in run(project, *DVC, "push", ok=False)
    run(project, *DVC, "remote", "modify", "store", "endpointurl", "http://127.0.0.1:9")
    assert "Could not connect to the endpoint URL" in run(project, *DVC, "push", ok=False)


def test_without_a_remote_a_push_says_how_to_add_one(project: Path) -> None:
    assert "dvc remote add -d <remote name> <remote url>" in run(project, *DVC, "push", ok=False)
