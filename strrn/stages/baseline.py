"""Stage `baseline`: another method on the same data; trained, scored by the same code, and drawn beside STRRN."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from strrn.core.files import read_json, write_json, write_text
from strrn.core.landmarks import load_scheme
from strrn.data.augmentation import AugmentationParameters
from strrn.data.datasets import load_still_crops
from strrn.data.label_noise import ContourNoiseParameters
from strrn.evaluation import curves
from strrn.evaluation.corrected import corrected_models
from strrn.evaluation.hidden import hidden_scores, still_scores
from strrn.evaluation.predict import torch_models
from strrn.evaluation.predictions import hidden_share
from strrn.evaluation.report import ReportParameters
from strrn.evaluation.rounds import EvaluateParameters, read_frames_table
from strrn.models import checkpoint
from strrn.models.ghcu import GHCUParameters, build_corrected
from strrn.runtime.loop import Models
from strrn.stages import parallel
from strrn.stages.align import load_task
from strrn.stages.evaluate import evaluate, load_clips
from strrn.stages.parameters import PARAMS_FILE, load_mapping, load_section, load_value
from strrn.stages.paths import BASELINE_SCORES, BASELINES, CROPS, MODELS, PREDICTIONS, SCORES
from strrn.stages.rounds import FIRST, round_names
from strrn.stages.setting import load_setting, stills_folder, unlabelled_tracks
from strrn.training.distributed import is_first, process_group
from strrn.training.loop import LoopParameters
from strrn.training.sa import ALIGNED, CORRECTED, LABELS_FILE, arms_of, recovered, train_sa
from strrn.training.sa import CONTINUED as ANNOTATED
from strrn.training.sbr import SBRParameters, train_sbr
from strrn.training.self_training import SelfTrainingParameters
from strrn.training.tsal import CONTINUED, CONTROLS, Arm, TSALParameters, train_tsal

SYSTEM = "detector"
BASELINE_PREDICTIONS = Path("data/baselines")  # not below data/predictions, which the report reads whole


def train_registered(name: str) -> None:
    setting = load_setting()
    train_sbr(
        setting,
        MODELS / FIRST / "detector.safetensors",
        stills_folder(),
        unlabelled_tracks(setting.reference.size),
        load_section(f"{name}.data", SBRParameters),
        load_section(f"{name}.detector", LoopParameters),
        BASELINES / name / "detector.safetensors",
    )


def train_taught(name: str) -> None:
    """TSAL's start, controls and arms; of the same structure as r0's detector."""
    setting = load_setting()
    _, header = checkpoint.load(MODELS / FIRST / "detector.safetensors")
    train_tsal(
        setting,
        header,
        stills_folder(),
        unlabelled_tracks(setting.reference.size),
        load_value(f"{name}.labels", float),
        load_section(f"{name}.data", TSALParameters),
        load_section(f"{name}.view", AugmentationParameters),
        load_section(f"{name}.self_training", SelfTrainingParameters),
        load_arms(name),
        load_section(f"pretrain.{header['architecture']}", LoopParameters),
        load_section(f"{name}.detector", LoopParameters),
        BASELINES / name,
    )


def load_arms(name: str, path: Path = PARAMS_FILE) -> dict[str, Arm]:
    return {arm: load_section(f"{name}.arms.{arm}", Arm, path) for arm in load_mapping(f"{name}.arms", path)}


def train_aligned(name: str) -> None:
    """SA's start, control and arms; of an HGN, whatever r0's detector is."""
    train_sa(load_task(), load_section(f"{name}.ghcu", GHCUParameters), load_section(f"{name}.correction", LoopParameters), BASELINES / name)


def score(detector: Path, predictions: Path, scores: Path, models: Callable[[Path, Path], Models] = torch_models) -> None:
    """The detector frame by frame; the cycle error of real clips is judged by r0's tracker, since these methods have none."""
    evaluate(partial(models, detector, MODELS / FIRST / "tracker.safetensors"), predictions, scores, [SYSTEM])


def draw(path: Path, shown: Sequence[tuple[str, str]], folders: Mapping[str, Path]) -> None:
    """STRRN, Figure 4: error over time in a clip in which something crosses the face, of (source, system), over how much of the face is
    hidden. folders: of their predictions."""
    frames = {source: read_frames_table(folders[source]) for source, _ in shown}
    shown_clip, scheme = load_section("report", ReportParameters).error_clip, load_scheme(load_value("scheme", str))
    rows = curves.error_rows(frames, shown_clip, shown)
    (truth,) = (clip.truth for clip in load_clips(load_section("evaluate", EvaluateParameters), scheme) if clip.clip_id == shown_clip)
    write_text(path, curves.error_chart(rows, hidden_share(truth, scheme)))


def finish_registered(name: str) -> None:
    """Scores of SBR, of r0's detector and of the last tracker."""
    own, last = BASELINE_SCORES / f"{name}.json", round_names()[-1]
    score(BASELINES / name / "detector.safetensors", BASELINE_PREDICTIONS / name, own)
    shown = [(FIRST, "detector"), (name, SYSTEM), (last, "tracker")]
    folders = {source: (BASELINE_PREDICTIONS if source == name else PREDICTIONS) / source for source, _ in shown}
    draw(BASELINE_SCORES / f"{name}.svg", shown, folders)
    scores = {source: read_json(own if source == name else SCORES / f"{source}.json")[system] for source, system in shown}
    write_json(own, {f"{source} {system}": scores[source] for source, system in shown})


def finish_taught(name: str) -> None:
    """Scores of start, controls and arms, in the form of a round's: {arm: {system: {dataset: {metric: value}}}}."""
    arms, scores = [*CONTROLS, *load_arms(name)], {}
    folders = {arm: BASELINE_PREDICTIONS / name / arm for arm in arms}
    for arm, folder in folders.items():
        score(BASELINES / name / f"{arm}.safetensors", folder, folder / "scores.json")
        scores[arm] = read_json(folder / "scores.json")
    draw(BASELINE_SCORES / f"{name}.svg", [(CONTINUED, SYSTEM), (arms[len(CONTROLS)], SYSTEM)], folders)
    write_json(BASELINE_SCORES / f"{name}.json", scores)


def finish_aligned(name: str) -> None:
    """Scores of SA's arms in the form of a round's; of the test stills' crops, too: `crops_test` as they are, `hidden_stills` behind boxes;
    and of the arm that searches labels `training_labels`, how far they were from the truth before and after."""
    arms, scores = arms_of(load_section(f"{name}.noise", ContourNoiseParameters)), {}
    scheme, seed = load_scheme(load_value("scheme", str)), load_value("train_seed", int)
    stills = load_still_crops(CROPS / "stills_test.parquet", scheme.num_landmarks)
    corrected = partial(corrected_models, BASELINES / name / f"{ALIGNED}.safetensors")
    for arm in arms:
        file, folder = BASELINES / name / f"{arm}.safetensors", BASELINE_PREDICTIONS / name / arm
        models, build = (corrected, build_corrected) if arm == CORRECTED else (torch_models, checkpoint.build)
        score(file, folder, folder / "scores.json", models)
        scores[arm] = read_json(folder / "scores.json")
        model, _ = checkpoint.load(file, build)
        scores[arm][SYSTEM] |= {
            "crops_test": still_scores(model, stills, scheme),
            "hidden_stills": hidden_scores(model, stills, scheme, seed),
        }
    scores[ALIGNED][SYSTEM]["training_labels"] = recovered(read_json(BASELINES / name / LABELS_FILE))
    draw(
        BASELINE_SCORES / f"{name}.svg", [(arm, SYSTEM) for arm in (ANNOTATED, ALIGNED)], {a: BASELINE_PREDICTIONS / name / a for a in arms}
    )
    write_json(BASELINE_SCORES / f"{name}.json", scores)


METHODS = {"sbr": (train_registered, finish_registered), "tsal": (train_taught, finish_taught), "sa": (train_aligned, finish_aligned)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, choices=METHODS)
    name = parser.parse_args().name
    train, finish = METHODS[name]
    with process_group():
        train(name)
        first = is_first()
    if first:
        finish(name)


if __name__ == "__main__":
    parallel.run(main, __spec__.name)
