"""The flow on a small DVC project with real git, DVC and GTO: models and metrics depend on one parameter."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from flows import release as module
from flows.figures import FIGURES
from flows.release import next_version, release, released_versions
from tests.flows.conftest import DVC, artifact

STAGE = f"""
import json, pathlib, yaml
error = yaml.safe_load(open('params.yaml'))['error']
for folder in ('models/export', 'data/pseudo', 'data/raw', 'reports'):
    pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
for file in ('models/export/tracker.onnx', 'models/export/detector.onnx', 'data/pseudo/r1.parquet'):
    pathlib.Path(file).write_text(f'made with error {{error}}')
pathlib.Path('data/raw/clip').write_text('a clip')
tracker = {{}}
for dataset, name in {list(FIGURES)!r}:
    tracker.setdefault(dataset, {{}})[name] = error
json.dump({{'rounds': {{'r1': {{'tracker': tracker}}}}}}, open('reports/metrics.json', 'w'))
"""
DVC_YAML = {
    "stages": {
        "all": {
            "cmd": f"{sys.executable} stage.py",
            "deps": ["stage.py"],
            "params": ["error"],
            "outs": ["models/export", "data/pseudo", "data/raw"],
            "metrics": [{"reports/metrics.json": {"cache": False}}],
        }
    }
}


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    (folder / "stage.py").write_text(STAGE)
    (folder / "params.yaml").write_text("error: 0.02\n")
    (folder / "dvc.yaml").write_text(yaml.safe_dump(DVC_YAML))
    (folder / "CHANGELOG.md").write_text("# Changelog\n\n## [Unreleased]\n\n## Models\n\nVersions of models.\n")
    (folder / ".gitignore").write_text("/models/\n/data/\n/remote/\n")
    for command in (["git", "init", "-q"], dvc("init", "-q"), dvc("config", "core.analytics", "false"), dvc("repro", "-q")):
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    subprocess.run(["git", "add", "--all"], cwd=folder, check=True)
    subprocess.run(["git", "commit", "-qm", "start"], cwd=folder, check=True)
    return folder


@pytest.fixture
def project(template: Path, tmp_path: Path, monkeypatch) -> Path:
    folder = shutil.copytree(template, tmp_path / "project")
    monkeypatch.chdir(folder)
    return folder


def dvc(*arguments: str) -> list[str]:
    return [*DVC, *arguments]


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout


def commit(message: str) -> None:
    git("add", "--all")
    git("commit", "-qm", message)


def add_remote(url: object) -> None:
    subprocess.run(dvc("remote", "add", "-q", "-d", "-f", "store", str(url)), check=True)
    commit("remote")


def train(error: float) -> None:
    """Models with another error, committed."""
    Path("params.yaml").write_text(f"error: {error}\n")
    subprocess.run(dvc("repro", "-q"), check=True, capture_output=True)
    commit(f"error {error}")


def refusal(**parameters: object) -> str:
    """Message of a release that has to fail, and that must not have tagged or committed anything."""
    before = git("tag"), git("rev-parse", "HEAD")
    state = release(**parameters, return_state=True)
    assert state.is_failed() and (git("tag"), git("rev-parse", "HEAD")) == before
    return state.message


def test_releases_one_after_another(server, project: Path) -> None:
    add_remote(project / "remote")
    commit_before = git("rev-parse", "HEAD")
    assert release(dry_run=True) == [] and git("tag") == "" and git("rev-parse", "HEAD") == commit_before
    assert release() == ["detector@v0.1.0", "pseudo-labels@v0.1.0", "tracker@v0.1.0"]
    assert artifact("release")[0] == {
        "dataset": "rendered_test",
        "figure": "nme_inter_ocular",
        "released": None,
        "new": 0.02,
        "ratio": None,
    }
    text = Path("CHANGELOG.md").read_text()
    assert "Versions of models.\n\n### v0.1.0 - 20" in text and "The first release, nothing to compare with. Data: pushed to" in text
    assert release() == ["tracker@v0.1.0"] and Path("CHANGELOG.md").read_text() == text  # nothing to do

    train(0.021)
    message = refusal()
    assert "not released: v0.2.0 is no better than tracker@v0.1.0:\n" in message
    assert "the mean ratio is 1.0" in message and "| rendered_test | nme_inter_ocular | 0.02 | 0.021 | 1.05 |" in message

    train(0.01)
    assert release(bump="patch")[-1] == "tracker@v0.1.1"
    text = Path("CHANGELOG.md").read_text()
    assert text.index("### v0.1.1") < text.index("### v0.1.0") and "Compared with tracker@v0.1.0, mean ratio 0.6016" in text
    assert git("status", "--porcelain") == ""

    # Others get a version by its name.
    command = dvc("get", str(project), "models/export/tracker.onnx", "--rev", "tracker@v0.1.0", "-o", str(project.parent / "old"))
    subprocess.run(command, check=True, capture_output=True)
    assert (project.parent / "old").read_text() == "made with error 0.02"


def test_a_tree_with_changes_is_refused(server, project: Path) -> None:
    Path("notes.txt").write_text("x")
    assert "1 files are not as in the last commit; commit them, or `git stash -u`:\n?? notes.txt" in refusal()


def test_a_pipeline_that_is_not_up_to_date_is_refused(server, project: Path) -> None:
    Path("params.yaml").write_text("error: 0.5\n")
    commit("another value, not run")
    assert "the pipeline is not up to date: `dvc repro` (or `dvc pull`), then commit. `dvc status` has all" in refusal()


def test_remotes_that_are_not_there_and_a_second_run_that_goes_on(server, project: Path) -> None:
    (project.parent / "file").write_text("no folder")
    for name, url in (("broken", project.parent / "file/remote"), ("good", project / "remote")):
        subprocess.run(dvc("remote", "add", "-q", name, str(url)), check=True)
    commit("remotes")
    assert "none of the remotes broken, good is the default: `dvc remote default broken`, or name one" in refusal()
    assert "there is no DVC remote 'other'; `dvc config --list` has broken, good" in refusal(remote="other")
    message = refusal(remote="broken")
    assert "dvc --wait-for-lock push --remote broken` failed with exit status" in message and "Not a directory" in message
    assert release(remote="good")[-1] == "tracker@v0.1.0" and (project / "remote/files").is_dir()


def test_a_file_that_the_cache_lacks_is_noticed(server, project: Path) -> None:
    """DVC's push reports success."""
    add_remote(project / "remote")
    lost = yaml.safe_load(Path("dvc.lock").read_text())["stages"]["all"]["outs"]
    folder = next(out["md5"] for out in lost if out["path"] == "models/export")
    listed = json.loads((project / f".dvc/cache/files/md5/{folder[:2]}/{folder[2:]}").read_text())[0]["md5"]
    (project / f".dvc/cache/files/md5/{listed[:2]}/{listed[2:]}").unlink()
    message = refusal()
    assert "not in the remote after `dvc push`" in message or "`dvc status` has all" in message


def test_after_a_commit_and_a_tag_that_fail_another_run_goes_on(server, project: Path, caplog) -> None:
    hook = project / ".git/hooks/pre-commit"
    hook.write_text("#!/bin/sh\necho not today >&2; exit 1\n")
    hook.chmod(0o755)
    assert "not today" in refusal()
    assert git("status", "--porcelain") == ""  # CHANGELOG.md is as it was
    hook.unlink()

    git("tag", "pseudo-labels@v0.1.0", git("commit-tree", "-m", "elsewhere", "HEAD^{tree}").strip())
    state = release(return_state=True)
    assert "pseudo-labels@v0.1.0 is there already, at another commit: `git tag -d pseudo-labels@v0.1.0`" in state.message
    assert git("tag").split() == ["detector@v0.1.0", "pseudo-labels@v0.1.0"]
    git("tag", "-d", "pseudo-labels@v0.1.0")
    written = git("rev-parse", "HEAD")
    assert release() == ["detector@v0.1.0", "pseudo-labels@v0.1.0", "tracker@v0.1.0"]
    assert git("rev-parse", "HEAD") == written and {git("rev-parse", f"{tag}^{{commit}}") for tag in git("tag").split()} == {written}
    # The project has no remote.
    assert "Data: not pushed: no DVC remote is configured" in Path("CHANGELOG.md").read_text()
    assert "not pushed: no DVC remote is configured" in caplog.text


def test_a_version_that_was_taken_back_is_no_measure(project: Path) -> None:
    for tag in ("tracker@v0.1.0", "tracker@v0.2.0", "tracker@v0.2.0!", "tracker@v0.1.9#prod", "detector@v9.0.0"):
        git("tag", tag)
    assert released_versions() == ((0, 1, 0), (0, 2, 0))


def test_other_test_data_are_named(project: Path) -> None:
    git("tag", "before")
    assert module.changed_test_data("before") == []
    Path("dvc.lock").write_text(Path("dvc.lock").read_text().replace("path: data/raw\n", "path: data/other\n"))
    assert module.changed_test_data("before") == ["data/raw"]


def test_versions_count_up() -> None:
    assert next_version(None, "patch") == "v0.1.0"
    assert [next_version((1, 2, 3), bump) for bump in module.BUMPS] == ["v2.0.0", "v1.3.0", "v1.2.4"]


@pytest.mark.parametrize(
    ("wrong", "named"), [({"bump": "big"}, "'major', 'minor' or 'patch'"), ({"tolerance": -0.1}, "greater than or equal to 0")]
)
def test_parameters_are_checked_first(server, project: Path, wrong: dict, named: str) -> None:
    assert named in refusal(**wrong)
