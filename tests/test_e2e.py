"""The whole pipeline of dvc.yaml at tiny size, in a copy of the repository. Takes minutes, and the download stage uses the network.

pytest -m e2e            only these
pytest -m 'not e2e'      all others
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from omegaconf import DictConfig, OmegaConf

from strrn.core.face_detection import FaceDetector
from strrn.core.tables import read_table
from strrn.core.video import read_frames
from strrn.runtime.loop import FaceTracker, State
from strrn.runtime.models import ModelPair

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parent.parent
TINY = Path(__file__).parent / "tiny_params.yaml"
BINARIES = Path(sys.executable).parent
ENVIRONMENT = os.environ | {"PATH": os.pathsep.join([str(BINARIES), os.environ["PATH"]])}
ALWAYS = "inputs"
FIRST_STAGES = ["download", "render", "crop", "pretrain", "evaluate_r0"]
LAST_STAGES = ["refine", "export", "report"]
DELIVERED = [
    "models/export/tracker.onnx",
    "models/export/detector.onnx",
    "models/export/refiner.onnx",
    "reports/metrics.json",
    "reports/benchmark.json",
    "reports/report.html",
    "reports/overlay.mp4",
]


def round_stages(name: str) -> list[str]:
    return [f"mine@{name}", f"distil@{name}", f"evaluate@{name}"]


def run(project: Path, *command: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        command, cwd=project, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def repro(project: Path, *arguments: str) -> list[str]:
    """`dvc repro`; the stages that it executed, in this order, but `ALWAYS`. Fails with the end of its output where it fails."""
    result = run(project, "dvc", "repro", *arguments)
    if result.returncode != 0:
        hint = "\n(the download stage needs the package registries that pip and npm use)" if "'download'" in result.stdout else ""
        pytest.fail(f"dvc repro failed{hint}:\n{result.stdout[-4000:]}")
    return [stage for stage in re.findall(r"^Running stage '(.+)':$", result.stdout, re.MULTILINE) if stage != ALWAYS]


def edit_params(project: Path, change: Callable[[DictConfig], None]) -> None:
    params = OmegaConf.load(project / "params.yaml")
    change(params)
    OmegaConf.save(params, project / "params.yaml")


def merge_known(params: DictConfig, tiny: DictConfig) -> DictConfig:
    """params with the values of tiny; a key of tiny that params does not have is an error."""
    OmegaConf.set_struct(params, True)
    merged = OmegaConf.merge(params, tiny)
    OmegaConf.set_struct(merged, False)
    return merged


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A git repository with the files that git tracks here and the values of tiny_params.yaml. The tests below use it in turn."""
    folder = tmp_path_factory.mktemp("e2e")
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, tracked.split("\0")):
        if name == "dvc.lock" or not (ROOT / name).is_file():  # the lock tells of the full size
            continue
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((ROOT / name).read_bytes())
        (folder / name).chmod((ROOT / name).stat().st_mode)
    if (ROOT / ".cache/downloads").is_dir():
        (folder / ".cache").mkdir()
        (folder / ".cache/downloads").symlink_to(ROOT / ".cache/downloads")
    OmegaConf.save(merge_known(OmegaConf.load(folder / "params.yaml"), OmegaConf.load(TINY)), folder / "params.yaml")
    for command in (
        ["git", "init", "-q"],
        ["git", "add", "--all"],
        ["git", "-c", "user.name=e2e", "-c", "user.email=e2e@example.org", "commit", "-q", "-m", "tiny"],
    ):
        subprocess.run(command, cwd=folder, check=True)
    return folder


def test_every_stage_runs_and_writes_what_is_promised(project: Path) -> None:
    executed = repro(project)
    expected = FIRST_STAGES + round_stages("r1") + round_stages("r2") + LAST_STAGES
    assert sorted(executed) == sorted(expected)
    for file in DELIVERED:
        assert (project / file).stat().st_size > 0, f"{file} is empty"
    status = run(project, "dvc", "status")
    assert status.returncode == 0 and status.stdout.split() == [f"{ALWAYS}:", "always", "changed"], status.stdout
    # git sees new results, but no data and no weights.
    changed = run(project, "git", "status", "--porcelain", "--untracked-files=all").stdout.splitlines()
    unexpected = [line for line in changed if not re.fullmatch(r".. (dvc\.lock|params\.yaml|data/inputs/.+\.json|reports/.+\.json)", line)]
    assert not unexpected, "\n".join(unexpected)


def test_overlay_video_can_be_read(project: Path) -> None:
    video = cv2.VideoCapture(str(project / "reports/overlay.mp4"))
    found, frame = video.read()
    video.release()
    assert found and frame.std() > 1


def test_the_tracker_runs_on_a_video(project: Path) -> None:
    clip = sorted((project / "data/rendered/clips").glob("*.mp4"))[0]
    result = run(project, "strrn", "track", str(clip), "--out", "tracked")
    assert result.returncode == 0, result.stdout
    assert {file.suffix for file in (project / "tracked").iterdir()} == {".mp4", ".csv"}
    refined = run(project, "strrn", "track", str(clip), "--refine", "--out", "refined")
    assert refined.returncode == 0, refined.stdout


def test_brf_is_scored_beside_the_rounds(project: Path) -> None:
    brf = json.loads((project / "reports/metrics.json").read_text())["brf"]
    assert list(brf) == ["backbone", "exponential", "face_average", "one_euro", "brf"]
    assert all(brf[system]["rendered_test"]["residual_jitter"] > 0 for system in brf)


def test_a_second_run_executes_nothing(project: Path) -> None:
    assert repro(project) == []


@pytest.mark.parametrize(("stage", "sign"), [("crop", "face template"), ("pretrain", "epoch 0")])
def test_a_stage_that_is_killed_ends_in_the_same_result(project: Path, stage: str, sign: str) -> None:
    """sign: what the stage logs when it is in the middle of its work."""
    before = (project / "dvc.lock").read_text()
    command = [BINARIES / "dvc", "repro", "--force", "--single-item", stage]
    with subprocess.Popen(
        command, cwd=project, env=ENVIRONMENT, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        seen = any(sign in line for line in process.stdout)
        os.killpg(process.pid, signal.SIGKILL)
    assert seen, f"{stage} never logged {sign!r}"
    assert repro(project, "--force", "--single-item", stage) == [stage]
    assert (project / "dvc.lock").read_text() == before


def test_a_new_round_runs_only_itself_and_what_follows(project: Path) -> None:
    edit_params(project, lambda params: params.rounds.update({"r3": {**params.rounds.r2, "from": "r2"}}))
    executed = repro(project)
    assert sorted(executed) == sorted(round_stages("r3") + LAST_STAGES)


def test_a_baseline_is_a_stage_beside_the_others(project: Path) -> None:
    edit_params(project, lambda params: params.update({"baselines": ["sbr"]}))
    assert repro(project) == ["baseline@sbr", "report"]
    assert "landmarks hidden" in (project / "reports/baselines/sbr.svg").read_text()
    scores = json.loads((project / "reports/baselines/sbr.json").read_text())
    assert list(scores) == ["r0 detector", "sbr detector", "r3 tracker"]
    assert all(scores[name]["rendered_test"]["nme_inter_ocular"] > 0 for name in scores)


def test_a_sibling_stands_beside_the_rounds(project: Path) -> None:
    edit_params(project, lambda params: params.update({"baselines": ["tsal"]}))
    assert repro(project) == ["baseline@tsal", "report"]
    assert "</svg>" in (project / "reports/baselines/tsal.svg").read_text()
    metrics = json.loads((project / "reports/metrics.json").read_text())
    assert list(metrics) == ["rounds", "exported", "brf", "tsal"]
    first = [name for name in metrics["rounds"]["r0"]["detector"] if name != "rendered_val"]  # by it rounds are chosen
    assert list(metrics["tsal"])[:4] == ["start", "supervised", "self_training", "asynchronous"]
    for systems in metrics["tsal"].values():
        assert list(systems) == ["detector"]
        assert list(systems["detector"]) == first
    assert "<b>tsal asynchronous</b>" in (project / "reports/report.html").read_text()
    edit_params(project, lambda params: params.update({"baselines": []}))


def test_semantic_alignment_stands_beside_the_rounds(project: Path) -> None:
    edit_params(project, lambda params: params.update({"baselines": ["sa"]}))
    assert repro(project) == ["baseline@sa", "report"]
    assert "</svg>" in (project / "reports/baselines/sa.svg").read_text()
    arms = json.loads((project / "reports/metrics.json").read_text())["sa"]
    assert list(arms) == ["start", "supervised", "semantic", "semantic_ghcu", "clean"]
    for systems in arms.values():
        assert list(systems) == ["detector"]
        assert list(systems["detector"])[:5] == ["rendered_test", "head_scan", "stills_test", "real_clips", "crops_test"]
        assert systems["detector"]["hidden_stills"]["mouth_nme_inter_pupil"] > 0
    assert "recovered_error" in arms["semantic"]["detector"]["training_labels"]
    assert "<b>sa semantic_ghcu</b>" in (project / "reports/report.html").read_text()
    edit_params(project, lambda params: params.update({"baselines": []}))


def test_an_experiment_changes_a_round_and_its_metrics_are_shown(project: Path) -> None:
    changed = run(project, "dvc", "exp", "run", "--name", "half", "-S", "rounds.r2.threshold=0.5")
    assert changed.returncode == 0, changed.stdout[-4000:]
    executed = re.findall(r"^Running stage '(.+)':$", changed.stdout, re.MULTILINE)
    assert set(executed) >= {*round_stages("r2"), *LAST_STAGES} and not set(executed) & {*FIRST_STAGES, *round_stages("r1")}
    shown = run(project, "dvc", "exp", "show", "--csv").stdout
    metric = "rounds.r2.tracker.rendered_test.nme_inter_ocular"
    assert metric in shown and "half" in shown
    assert metric in run(project, "dvc", "metrics", "diff", "HEAD", "--all").stdout
    plots = run(project, "dvc", "plots", "show", "--out", "plots")
    assert plots.returncode == 0, plots.stdout
    assert "ced" in (project / "plots/index.html").read_text()


def credulous(project: Path, **changes: object) -> FaceTracker:
    """The exported pair in the loop, with checks that leave the word to MTCNN: networks of this size know little of faces."""
    pair = ModelPair(project / "models/export")
    free = {"max_cycle_error": 9.0, "max_disagreement": 9.0, "min_confidence": 0.0, "max_shape_distance": 9.0, "max_scale_jump": 9.0}
    return pair.face_tracker(FaceDetector(), replace(pair.info.runtime, min_inside=0.0, **free, **changes))


def test_a_real_face_that_leaves_and_returns(project: Path) -> None:
    """face_noface shows a face in its first 72 frames, noface_face from its 97th on. Without the check for cuts, which would see at once."""
    tracker = credulous(project, cut_difference=255.0)
    media = project / "data/raw/pyfeat"
    first = [tracker(frame) for _, _, frame in read_frames(media / "face_noface.mov")]
    states = [(faces or [tracker.nobody()])[0].state for faces in first]
    assert states[:60].count(State.tracking) >= 50
    assert State.uncertain in states[70:90] and set(states[90:]) == {State.lost}
    (lost,) = [faces[0] for faces in first[72:] if faces and faces[0].state is State.lost]
    assert lost.reason and lost.face_id == 0
    second = [tracker(frame) for _, _, frame in read_frames(media / "noface_face.mov")]
    assert not any(faces for faces in second[:96])
    found = next(number for number, faces in enumerate(second) if faces)
    assert 96 <= found <= 100 and second[found][0].reason.startswith("face found")
    assert second[found][0].face_id == 1  # long after, it may be anybody


def test_a_cut_is_seen_at_once(project: Path) -> None:
    tracker = credulous(project)
    faces = [tracker(frame) for _, _, frame in read_frames(project / "data/raw/pyfeat/face_noface.mov")]
    assert [(number, each[0].reason) for number, each in enumerate(faces) if each and each[0].state is State.lost] == [(72, "scene cut")]


def test_one_face_has_one_id_and_its_points_are_on_it(project: Path) -> None:
    clip = project / "data/rendered/clips/rendered_test_000"
    truth = read_table(clip.with_suffix(".parquet"))["points_frame"]
    tracker = credulous(project)
    faces = [tracker(frame) for _, _, frame in read_frames(clip.with_suffix(".mp4"))]
    assert {face.face_id for each in faces for face in each} == {0}
    for each, points in zip(faces, truth, strict=True):
        away = np.linalg.norm(each[0].points_frame.mean(0) - points.mean(0))
        assert away < 0.5 * np.ptp(points, 0).max()


def test_a_rendered_face_that_leaves_is_found_again_in_time_and_keeps_its_id(project: Path) -> None:
    clip = project / "data/rendered/clips/rendered_test_000"
    truth = read_table(clip.with_suffix(".parquet"))["points_frame"]
    shown = [frame for _, _, frame in read_frames(clip.with_suffix(".mp4"))]
    tracker = credulous(project, cut_difference=255.0)
    half, away = len(shown) // 2, 24
    seen = [tracker(frame) for frame in [*shown[:half], *[np.full_like(shown[0], 90)] * away, *shown[half:]]]
    gone, back = seen[half : half + away], seen[half + away :]
    lost = next(number for number, faces in enumerate(gone) if faces and faces[0].state is State.lost)
    assert lost <= 10  # face_every + patience - 1
    assert not any(gone[lost + 1 :])
    found = next(number for number, faces in enumerate(back) if faces)
    assert found < 2  # search_every
    assert {face.face_id for faces in seen for face in faces} == {0}
    distance = np.linalg.norm(back[found][0].points_frame.mean(0) - truth[half + found].mean(0))
    assert distance < 0.5 * np.ptp(truth[half + found], 0).max()


@pytest.mark.parametrize(
    ("key", "value", "stage", "named"),
    [
        ("render.stills.colour", 1, "render", ["params.yaml", "render", "colour"]),
        ("render.stills.train", -1, "render", ["params.yaml", "render", "train", "-1"]),
        ("mine.threshold_kind", "magic", "mine@r1", ["params.yaml", "threshold_kind", "magic"]),
    ],
)
def test_wrong_parameters_end_with_a_message(project: Path, key: str, value: object, stage: str, named: list[str]) -> None:
    before = (project / "params.yaml").read_text()
    edit_params(project, lambda params: OmegaConf.update(params, key, value, force_add=True))
    try:
        result = run(project, "dvc", "repro", "--single-item", stage)
    finally:
        (project / "params.yaml").write_text(before)
    assert result.returncode != 0
    (message,) = [line for line in result.stdout.splitlines() if line.startswith("error: ")]
    assert all(word in message for word in named), message
    assert "Traceback" not in result.stdout


def test_a_video_that_comes_later_is_seen(project: Path) -> None:
    repro(project, "crop")
    clips = sorted((project / "data/rendered/clips").glob("*.mp4"))
    (project / "own").mkdir()
    shutil.copyfile(clips[0], project / "own/first.mp4")
    edit_params(project, lambda params: params.crop.update({"folders": ["own"]}))
    assert repro(project, "crop") == ["crop"]
    shutil.copyfile(clips[1], project / "own/second.mp4")
    assert repro(project, "crop") == ["crop"]
    assert repro(project, "crop") == []
