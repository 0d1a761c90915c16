"""The flow on a DVC repository with this one's params.yaml and .gitignore, and stages that only write down what they are given."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from flows import rounds
from flows.ingest import choose_folder, default_name, ingest
from tests.data.test_ingest import write_video
from tests.flows.conftest import artifact

ROOT = Path(__file__).parent.parent.parent
DVC_YAML = """
stages:
  crop:
    cmd: find data/videos -name '*.mp4' | sort > crops.txt
    params: [crop]
    outs: [crops.txt]
  mine:
    cmd: grep -A9 ^rounds params.yaml > rounds.txt
    deps: [crops.txt]
    params: [rounds]
    outs: [rounds.txt]
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A git and DVC repository; it becomes the current folder."""
    folder = tmp_path / "project"
    (folder / ".dvc").mkdir(parents=True)
    (folder / ".dvc/config").write_text("[core]\n    analytics = false\n")
    (folder / "dvc.yaml").write_text(DVC_YAML)
    for name in ("params.yaml", ".gitignore", ".dvcignore"):
        shutil.copy(ROOT / name, folder)
    for clip in yaml.safe_load((ROOT / "params.yaml").read_text())["evaluate"]["real_clips"]:  # new videos are compared with them
        (folder / "data/raw" / clip).parent.mkdir(parents=True, exist_ok=True)
        (folder / "data/raw" / clip).write_text(clip)
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # of strrn.stages.ingest, which runs elsewhere
    return folder


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "June 3"
    for seed, name in enumerate(["a.mp4", "b.mp4"]):
        write_video(folder / name, seed=seed)
    write_video(folder / "short.mp4", num_frames=5)
    return folder


def newest_round():
    return list(yaml.safe_load(Path("params.yaml").read_text())["rounds"].items())[-1]


def dvc(*arguments):
    return subprocess.run([sys.executable, "-m", "dvc", *arguments], check=True, capture_output=True, text=True).stdout


def test_new_videos_start_a_round_and_are_taken_once(server, project, source):
    last, values = newest_round()
    rows = ingest(str(source))
    new, entry = newest_round()
    assert new == f"r{int(last[1:]) + 1}" and entry == values | {"from": last}
    assert [(row["video"], row["state"], row["frames"], row["seconds"]) for row in rows] == [
        ("a.mp4", "added", 15, 0.6),
        ("b.mp4", "added", 15, 0.6),
        ("short.mp4", "rejected", 5, 0.2),
    ]
    assert artifact("ingest") == rows and "crop.min_track_frames" in rows[2]["reason"]
    # The stages ran with them; data are no stage.
    assert (project / "crops.txt").read_text() == "data/videos/June-3/a.mp4\ndata/videos/June-3/b.mp4\n"
    assert f"{new}: {{from: {last}," in (project / "rounds.txt").read_text()
    assert [(row["stage"], row["state"]) for row in artifact("stages")] == [("crop", "ran"), ("mine", "ran")]
    # git takes the .dvc file alone, and DVC finds it: it can fetch the videos elsewhere.
    seen = subprocess.run(["git", "ls-files", "--others", "--exclude-standard", "data"], check=True, capture_output=True, text=True)
    assert seen.stdout.split() == ["data/videos/June-3.dvc"]
    shutil.rmtree(project / "data/videos/June-3")
    dvc("checkout")
    assert (project / "data/videos/June-3/a.mp4").is_file()

    before = (project / "params.yaml").read_text()
    assert ingest(str(source)) == []  # as a schedule does when nothing is new
    assert (project / "params.yaml").read_text() == before
    assert sorted(path.name for path in (project / "data/videos").iterdir()) == ["June-3", "June-3.dvc", "June-3.json"]
    named = ingest(str(source), name="June-3", return_state=True)
    assert named.is_failed() and "data/videos/June-3 is in params.yaml, crop.folders" in named.message

    write_video(source / "c.mp4", seed=7)
    assert [row["state"] for row in ingest(str(source), threshold=0.5, start_training=False)] == ["rejected"] * 2 + ["added", "rejected"]
    assert rounds.video_folders()[-2:] == ["data/videos/June-3", "data/videos/June-3-2"]
    assert newest_round()[1] == values | {"from": new, "threshold": 0.5}


def test_a_run_that_was_stopped_goes_on_with_its_folder(server, project, source):
    command = [sys.executable, "-m", "strrn.stages.ingest", str(source), "--name", "June-3", "--max-megabytes", "10"]
    command += ["--record", "data/videos/June-3.json"]
    subprocess.run(command, check=True, capture_output=True, env=os.environ)  # and here it was killed
    made = (project / "data/videos/June-3").stat().st_mtime_ns
    rows = ingest(str(source), start_training=False)
    assert [row["state"] for row in rows] == ["added", "added", "rejected"]
    assert (project / "data/videos/June-3").stat().st_mtime_ns == made
    assert rounds.video_folders()[-1] == "data/videos/June-3" and (project / "data/videos/June-3.dvc").is_file()


@pytest.mark.parametrize(
    ("wrong", "named"), [({"name": "../up"}, "name"), ({"threshold": 0}, "threshold"), ({"max_megabytes": 0}, "max_megabytes")]
)
def test_parameters_are_checked_first(server, project, source, wrong, named):
    state = ingest(str(source), **wrong, return_state=True)
    assert state.is_failed() and named in state.message
    assert not (project / "data/videos").exists()


def test_deployment_has_the_parameters_of_the_flow():
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    (parameters,) = [entry["parameters"] for entry in deployments if entry["entrypoint"] == "flows/ingest.py:ingest"]
    assert parameters.keys() == ingest.parameters.properties.keys()
    ingest.validate_parameters(parameters)


def test_names_are_plain_and_free(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "2024.05 über").mkdir()
    assert default_name("2024.05 über") == "2024-05-ber" and default_name("urls.txt") == "urls"
    videos = tmp_path / "data/videos"
    (videos / "urls").mkdir(parents=True)
    (videos / "urls-2.dvc").write_text("outs: []\n")
    assert choose_folder("urls.txt", None, ["/elsewhere/urls-3"]) == (Path("data/videos/urls-4"), None)
    with pytest.raises(FileExistsError, match=r"data/videos/urls is there already.*--name"):
        choose_folder("urls.txt", "urls", [])
    # A stopped run of another source is not taken up.
    (videos / "urls.json").write_text(json.dumps({"source": "/other/urls.txt", "videos": []}))
    assert choose_folder("urls.txt", None, [])[0] == Path("data/videos/urls-3")


def test_only_two_lines_of_params_yaml_change(project):
    before = (ROOT / "params.yaml").read_text().splitlines()
    rounds.add_round("data/videos/new", 0.03)
    after = (project / "params.yaml").read_text().splitlines()
    changed = [line for line in after if line not in before]
    assert len(after) == len(before) + 1 and [line for line in before if line not in after] == [
        line for line in before if line.startswith("  folders:")
    ]
    assert changed[0].startswith("  r") and changed[0].endswith("threshold: 0.03}")
    assert "data/videos/new]  #" in changed[1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("crop: {folders: []}\nrounds: {}", "crop: {folders: [new]}\nrounds: {r1: {from: r0}}"),
        (
            "crop: {folders: [a,  # one\n  b,\n]}\nrounds: {r1: {from: r0}}\n",
            "crop: {folders: [a,  # one\n  b, new,\n]}\nrounds: {r1: {from: r0}, r2: {from: r1}}\n",
        ),
        (
            "rounds:\n  r1: {from: r0}\n  r4b: {from: r1, min: 0.10}  # best\n\n# end\na: null\n"
            "crop:\n  folders:\n    - old  # mine\n\n    # end\n",
            "rounds:\n  r1: {from: r0}\n  r4b: {from: r1, min: 0.10}  # best\n  r2: {from: r4b, min: 0.1}\n\n# end\na: null\n"
            "crop:\n  folders:\n    - old  # mine\n    - new\n\n    # end\n",
        ),
        (
            "crop:\n  folders:\n  - old\nrounds:\n  r7:\n    from: r0\n    threshold: 0.1 # T\n  # end",
            "crop:\n  folders:\n  - old\n  - new\n"
            "rounds:\n  r7:\n    from: r0\n    threshold: 0.1 # T\n  r8: {from: r7, threshold: 0.1}\n  # end",
        ),
        ("crop: {folders: []}\nrounds:\n  r1:\n    from: r0", "crop: {folders: [new]}\nrounds:\n  r1:\n    from: r0\n  r2: {from: r1}\n"),
    ],
)
def test_all_else_in_params_yaml_stays(tmp_path, text, expected):
    (tmp_path / "params.yaml").write_text(text)
    rounds.add_round("new", None, tmp_path / "params.yaml")
    assert (tmp_path / "params.yaml").read_text() == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("crop: {folders: null}\nrounds: {}\n", r"crop\.folders must be a list"),
        ("crop: {folders: []}\n", "rounds must be a mapping"),
    ],
)
def test_a_params_yaml_without_the_lists_is_named(tmp_path, text, message):
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(ValueError, match=message):
        rounds.video_folders(tmp_path / "params.yaml")
    with pytest.raises(FileNotFoundError, match="from the repository's root"):
        rounds.video_folders(tmp_path / "none.yaml")


def test_a_layout_that_cannot_be_edited_is_left_as_it_is(tmp_path):
    text = "crop: {folders: [a]}\ncrop: {folders: []}\nrounds: {}\n"  # the second one counts
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"Add by hand: new to crop\.folders, r1: {'from': 'r0'} to rounds"):
        rounds.add_round("new", None, tmp_path / "params.yaml")
    assert (tmp_path / "params.yaml").read_text() == text
