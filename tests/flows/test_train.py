"""The flow on a tiny DVC repository with stages that take no time."""

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.flows.conftest import alive, artifact, assert_ends, interrupt, pids_in, started

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


@pytest.fixture
def project(tmp_path: Path, monkeypatch) -> Path:
    """A git and DVC repository with DVC_YAML; it becomes the current folder."""
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[core]\n    analytics = false\n")
    (tmp_path / "dvc.yaml").write_text(DVC_YAML)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_flow_runs_stages_in_order_and_a_second_run_changes_nothing(server, project: Path) -> None:
    from prefect.artifacts import Artifact

    from flows.train import train

    (project / "reports").mkdir()
    (project / "reports/metrics.json").write_text(json.dumps({"r0": {"auc": 0.5}, "frames": 7}))
    (project / "reports/plots").mkdir()
    (project / "reports/plots/error_over_time.svg").write_text("<svg/>")
    rows = train(["second"])
    assert [(row["stage"], row["state"]) for row in rows] == [("first", "ran"), ("second", "ran")]
    assert (project / "second.txt").read_text() == "1\n"
    assert artifact("metrics") == [{"metric": "r0.auc", "value": 0.5}, {"metric": "frames", "value": 7}]
    assert artifact("stages") == rows
    image = Artifact.get("error-over-time")
    assert image.type == "image" and base64.b64decode(image.data.removeprefix("data:image/svg+xml;base64,")) == b"<svg/>"

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
    assert "at least 1 item" in train([], return_state=True).message
    assert not (project / "first.txt").exists()


def test_cancelled_flow_ends_the_stage_and_its_grandchildren(project: Path, environment: dict[str, str]) -> None:
    assert "Crash detected" in interrupt([sys.executable, "-m", "flows.train", "endless"], environment, num_processes=2)


def test_a_second_flow_in_the_folder_is_refused_and_the_first_goes_on(project: Path, environment: dict[str, str]) -> None:
    from flows.train import train

    with started([sys.executable, "-m", "flows.train", "endless"], environment) as flow:
        pids = []
        while len(pids) < 2 and (line := flow.stdout.readline()):
            pids += pids_in(line)
        state = train(["first"], return_state=True)
        assert f"the flow train (process {flow.pid}) is at work in {project}: wait for its end, or cancel it" in state.message
        assert flow.poll() is None and all(map(alive, pids))
    for pid in pids:  # the flow was killed, and its lock with it
        assert_ends(pid)
    assert [row["state"] for row in train(["first"])] == ["ran"]
