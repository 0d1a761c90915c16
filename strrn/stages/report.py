"""Stage `report`: metrics and curves of all rounds together, the overlay clip and the HTML report."""

import csv
import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from omegaconf import ListConfig

from strrn.core.files import read_json, write_json, write_text
from strrn.core.landmarks import LandmarkScheme, load_scheme
from strrn.core.summary import DATASETS, shown_datasets
from strrn.evaluation import curves, pictures, report
from strrn.evaluation.clips import EvaluationClip
from strrn.evaluation.predictions import ClipPredictions, read_predictions, read_truth
from strrn.evaluation.rounds import EvaluateParameters, collect, extreme_frames, read_frames_table
from strrn.evaluation.tradeoff import BACKBONE, curve_rows
from strrn.methods.selection import Selection
from strrn.models.checkpoint import read_header
from strrn.render.contact_sheet import contact_sheet
from strrn.stages import logs
from strrn.stages.evaluate import load_clips
from strrn.stages.parameters import PARAMS_FILE, load_section, load_value
from strrn.stages.paths import (
    BASELINE_SCORES,
    BRF_PREDICTIONS,
    BRF_SCORES,
    MODELS,
    PREDICTIONS,
    PSEUDO,
    RAW,
    RENDERED,
    REPORTS,
    SCORES,
)
from strrn.stages.promotion import BEST, chosen_round, validation_areas
from strrn.stages.rounds import FIRST, round_names

PLOTS = REPORTS / "plots"
STILLS_COLUMNS = 10
SIBLINGS = ("tsal", "sa")  # of the baselines those whose scores have the form of the rounds': {arm: {system: {dataset: {metric: value}}}}
TEACHING = {
    Selection.consensus: "The mean of detection and track then teaches both models.",
    Selection.trajectory: "The mean of detection and track then teaches both models; where they do not agree, what the neighbours in time "
    "say of the frame.",
    Selection.co_training: "The better of the two then teaches the other one's model.",
    Selection.literal: "The track then teaches the detector, and the detection the tracker where it is the better one.",
}
log = logging.getLogger(__name__)


def main() -> None:
    parameters = load_section("report", report.ReportParameters)
    evaluate = load_section("evaluate", EvaluateParameters)
    scheme, rounds = load_scheme(load_value("scheme", str)), round_names()
    rule = load_value("export.round", str)
    promoted = chosen_round(rule)
    clips = {clip.clip_id: clip for clip in load_clips(evaluate, scheme)}
    with_truth = any(clip.truth for clip in clips.values())
    shown = clips.get(parameters.overlay_clip)
    if shown is None:
        raise ValueError(f"params.yaml, report.overlay_clip: {parameters.overlay_clip!r} is no test clip; there are {sorted(clips)}")

    frames = {name: read_frames_table(PREDICTIONS / name) for name in rounds}
    summaries = {name: read_json(PSEUDO / name / "summary.json") for name in rounds if name != FIRST}
    training = {(name, model): _training_log(MODELS / name / f"{model}.log.csv") for name in rounds for model in ("detector", "tracker")}
    rows = {
        "ced": curves.ced_rows(frames),
        "error_over_time": curves.error_rows(frames, parameters.error_clip, [(FIRST, "detector"), (promoted, "tracker")])
        if with_truth
        else [],
        "training": curves.training_rows(training),
        "acceptance": curves.acceptance_rows(summaries),
    }
    tradeoff = read_json(BRF_PREDICTIONS / "tradeoff.json")
    rows["tradeoff"] = curve_rows(tradeoff["rows"])
    siblings = [name for name in load_value("baselines", ListConfig) if name in SIBLINGS]
    scores = {"brf": BRF_SCORES} | {name: BASELINE_SCORES / f"{name}.json" for name in siblings}
    metrics = collect({name: SCORES / f"{name}.json" for name in rounds}, promoted, scores)
    write_json(REPORTS / "metrics.json", metrics)
    headers = {
        f"{name} {model}": read_header(MODELS / name / f"{model}.safetensors") for name in rounds for model in ("detector", "tracker")
    }
    made_with = {model: {"train_seed": header["train_seed"], **header["environment"]} for model, header in headers.items()}
    write_json(REPORTS / "environment.json", made_with)
    for name, table in rows.items():
        curves.write_rows(PLOTS / f"{name}.csv", table, curves.COLUMNS[name])

    before = read_predictions(PREDICTIONS / FIRST / "detector.parquet", scheme)
    after = read_predictions(PREDICTIONS / promoted / "tracker.parquet", scheme)
    overlay = REPORTS / "overlay.mp4"
    systems = {f"{FIRST} detector": before[shown.clip_id].points_frame, f"{promoted} tracker": after[shown.clip_id].points_frame}
    count = pictures.write_overlay(
        overlay, shown.path, systems, scheme, fps=shown.fps, height=parameters.overlay_height, quality=parameters.overlay_quality
    )

    stills = None
    if load_value("labels.rendered", bool):
        path, seed = RENDERED / "stills_train.parquet", load_value("seed", int)
        stills = contact_sheet(path, scheme, parameters.num_stills, STILLS_COLUMNS, parameters.picture_size, seed)
    charts = {
        "ced": curves.ced_chart(rows["ced"], rounds) if rows["ced"] else "",
        "error_over_time": curves.error_chart(rows["error_over_time"]) if with_truth else "",
        "acceptance": curves.acceptance_chart(rows["acceptance"]) if summaries else "",
        "training": curves.training_chart(rows["training"], rounds),
        "tradeoff": curves.tradeoff_chart(rows["tradeoff"]) if rows["tradeoff"] else "",
    }
    for name, chart in charts.items():
        if chart:
            write_text(PLOTS / f"{name}.svg", chart)
    by_round = metrics["rounds"]
    beside = {f"{name} {arm}": systems for name in siblings for arm, systems in metrics[name].items()}
    compared = by_round | beside
    shown_figures = shown_datasets(by_round)
    summary, brf = report.summary_rows(compared, shown_figures), metrics["brf"]
    chosen = load_value("refine.backbone", str)
    backbone = f"{promoted} detector" if chosen == "detector" else Path(chosen).name
    content = {
        "first_round": FIRST,
        "promoted": promoted,
        "promotion": report.promotion(promoted, validation_areas(by_round) if rule == BEST else {}),
        "headline": report.headline(by_round, promoted),
        "summary_groups": report.summary_groups(shown_figures),
        "trackers": [
            *(row for row in summary if row is summary[0] or row["system"] == "tracker" or row["round"] in beside),
            *report.summary_rows({"BRF": {f"over {backbone}": brf["brf"]}}, shown_figures, by_round[FIRST]["detector"]),
        ],
        "refined": report.summary_rows({"": brf}, DATASETS, brf[BACKBONE]),  # all say the same of a picture
        "refined_groups": report.summary_groups(DATASETS),
        "refined_settings": ", ".join(f"{system} {setting}" for system, setting in tradeoff["settings"].items()),
        "tradeoff": report.inline(charts["tradeoff"]),
        "detectors": [row for row in summary if row["system"] == "detector"],
        "siblings": siblings,
        "details": [(dataset, *report.detail_rows(compared, dataset)) for dataset in next(iter(by_round.values()))["detector"]],
        "overlay": pictures.file_uri(overlay, "video/mp4"),
        "overlay_caption": f"{shown.clip_id}, {count} frames. Left: {FIRST} detector, frame by frame. Right: {promoted} tracker.",
        "ced": report.inline(charts["ced"]),
        "error": report.inline(charts["error_over_time"]),
        "error_clip": parameters.error_clip,
        "acceptance": report.acceptance_table(summaries),
        "teaching": TEACHING[load_value("mine.selection", Selection)],
        "acceptance_chart": report.inline(charts["acceptance"]),
        "training": report.inline(charts["training"]),
        "frames": _frame_pictures(frames[promoted], clips, before, after, scheme, parameters) if with_truth else [],
        "stills": "" if stills is None else pictures.jpeg_uri(stills),
        "data_card": report.markdown_lines((RAW / "data_card.md").read_text(encoding="utf-8")),
        "made_with": report.alike(made_with),
        "parameters": PARAMS_FILE.read_text(encoding="utf-8"),
    }
    report.write_report(REPORTS / "report.html", content)
    log.info("report of %d rounds: %s, %s", len(rounds), REPORTS / "report.html", overlay)


def _training_log(path: Path) -> list[dict]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: the log of a training is missing; run `dvc repro` to train again")
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _frame_pictures(
    columns: Mapping[str, np.ndarray],
    clips: Mapping[str, EvaluationClip],
    before: Mapping[str, ClipPredictions],
    after: Mapping[str, ClipPredictions],
    scheme: LandmarkScheme,
    parameters: report.ReportParameters,
) -> list[tuple[str, list[dict]]]:
    """(title, pictures) of the exported tracker's best and worst frames of clips."""
    truths = {clip_id: read_truth(clip.truth, scheme) for clip_id, clip in clips.items() if clip.truth}
    of_clips = np.isin(columns["clip_id"].astype(str), list(truths))
    columns = {name: values[of_clips] for name, values in columns.items()}
    groups = []
    for title, worst in (("Worst", True), ("Best", False)):
        chosen = extreme_frames(columns, "tracker", parameters.num_frames, worst=worst)
        frames = [
            pictures.ShownFrame(
                clip_id,
                clips[clip_id].path,
                frame,
                truths[clip_id].points_frame[frame],
                (before[clip_id].points_frame[frame], after[clip_id].points_frame[frame]),
            )
            for clip_id, frame, _ in chosen
        ]
        images = pictures.compare_frames(frames, scheme, parameters.picture_size)
        groups.append(
            (
                title,
                [
                    {"image": pictures.jpeg_uri(image), "caption": f"{clip_id}, frame {frame}: {_error_text(error)}"}
                    for image, (clip_id, frame, error) in zip(images, chosen, strict=True)
                ],
            )
        )
    return groups


def _error_text(error: float) -> str:
    return f"error {error:.2%}" if np.isfinite(error) else "no prediction"


if __name__ == "__main__":
    logs.run(main)
