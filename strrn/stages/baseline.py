"""Stage `baseline`: another method on the same data; trained, scored by the same code, and drawn beside STRRN."""

import argparse
from pathlib import Path

from strrn.core.files import read_json, write_json, write_text
from strrn.evaluation import curves
from strrn.evaluation.report import ReportParameters
from strrn.evaluation.rounds import read_frames_table
from strrn.stages import parallel
from strrn.stages.evaluate import evaluate
from strrn.stages.parameters import load_section
from strrn.stages.paths import BASELINE_SCORES, BASELINES, CROPS, MODELS, PREDICTIONS, SCORES
from strrn.stages.rounds import FIRST, round_names
from strrn.stages.setting import load_setting, unlabelled_tracks
from strrn.training.distributed import is_first, process_group
from strrn.training.loop import LoopParameters
from strrn.training.sbr import SBRParameters, train_sbr

SYSTEM = "detector"
BASELINE_PREDICTIONS = Path("data/baselines")  # not below data/predictions, which the report reads whole


def train(name: str) -> None:
    setting = load_setting()
    train_sbr(
        setting,
        MODELS / FIRST / "detector.safetensors",
        CROPS,
        unlabelled_tracks(setting.reference.size),
        load_section(f"{name}.data", SBRParameters),
        load_section(f"{name}.detector", LoopParameters),
        BASELINES / name / "detector.safetensors",
    )


def score(name: str) -> None:
    """The detector frame by frame; the cycle error of real clips is judged by r0's tracker, since SBR has none."""
    detector, judge = BASELINES / name / "detector.safetensors", MODELS / FIRST / "tracker.safetensors"
    evaluate(detector, judge, BASELINE_PREDICTIONS / name, BASELINE_SCORES / f"{name}.json", [SYSTEM])


def draw(name: str) -> None:
    """STRRN, Figure 4: error over time in a clip in which something crosses the face; and the scores of what is drawn."""
    last = round_names()[-1]
    shown = [(FIRST, "detector"), (name, SYSTEM), (last, "tracker")]
    frames = {source: read_frames_table((BASELINE_PREDICTIONS if source == name else PREDICTIONS) / source) for source, _ in shown}
    rows = curves.error_rows(frames, load_section("report", ReportParameters).error_clip, shown)
    write_text(BASELINE_SCORES / f"{name}.svg", curves.error_chart(rows))
    own = BASELINE_SCORES / f"{name}.json"
    scores = {source: read_json(own if source == name else SCORES / f"{source}.json")[system] for source, system in shown}
    write_json(own, {f"{source} {system}": scores[source] for source, system in shown})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, choices=["sbr"])
    name = parser.parse_args().name
    with process_group():
        train(name)
        first = is_first()
    if first:
        score(name)
        draw(name)


if __name__ == "__main__":
    parallel.run(main, __spec__.name)
