"""Stage `sbr`: the baseline that learns from unlabelled clips by registration; trained, scored, and drawn beside STRRN."""

from strrn.core.files import read_json, write_json, write_text
from strrn.evaluation import curves
from strrn.evaluation.report import ReportParameters
from strrn.evaluation.rounds import read_frames_table
from strrn.stages import logs
from strrn.stages.evaluate import evaluate
from strrn.stages.parameters import load_section
from strrn.stages.paths import BASELINE_SCORES, BASELINES, CROPS, MODELS, PREDICTIONS, SCORES
from strrn.stages.rounds import FIRST, round_names
from strrn.stages.setting import load_setting, unlabelled_tracks
from strrn.training.loop import LoopParameters
from strrn.training.sbr import SBRParameters, train_sbr

NAME, SYSTEM = "sbr", "detector"
DETECTOR, SCORE = BASELINES / NAME / "detector.safetensors", BASELINE_SCORES / f"{NAME}.json"


def train() -> None:
    setting = load_setting()
    train_sbr(
        setting,
        MODELS / FIRST / "detector.safetensors",
        CROPS,
        unlabelled_tracks(setting.reference.size),
        load_section("sbr.data", SBRParameters),
        load_section("sbr.detector", LoopParameters),
        DETECTOR,
    )


def score() -> None:
    """The detector frame by frame; the cycle error of real clips is judged by r0's tracker, which SBR does not have."""
    evaluate(DETECTOR, MODELS / FIRST / "tracker.safetensors", PREDICTIONS / NAME, SCORE, [SYSTEM])


def draw() -> None:
    """STRRN, Figure 4: error over time in a clip in which something crosses the face; and the scores of what is drawn."""
    last = round_names()[-1]
    shown = [(FIRST, "detector"), (NAME, SYSTEM), (last, "tracker")]
    frames = {name: read_frames_table(PREDICTIONS / name) for name, _ in shown}
    rows = curves.error_rows(frames, load_section("report", ReportParameters).error_clip, shown)
    write_text(BASELINE_SCORES / f"{NAME}.svg", curves.error_chart(rows))
    scores = {name: read_json(SCORES / f"{name}.json") for name in (FIRST, last)} | {NAME: read_json(SCORE)}
    write_json(SCORE, {f"{name} {system}": scores[name][system] for name, system in shown})


def main() -> None:
    train()
    score()
    draw()


if __name__ == "__main__":
    logs.run(main)
