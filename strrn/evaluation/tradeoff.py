"""What calm costs in lag: filters of a backbone's points, each at many settings, beside BRF."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path

import numpy as np

from strrn.core.landmarks import LandmarkScheme
from strrn.core.tables import predictions_schema, read_table, write_table
from strrn.evaluation.clips import EvaluationClip, datasets_with_truth
from strrn.evaluation.filters import Filter, exponential_average, face_average, one_euro
from strrn.evaluation.predict import REFINED
from strrn.evaluation.predictions import ClipPredictions, read_predictions, read_truth
from strrn.evaluation.score import main_normaliser, score_with_truth

BACKBONE = "backbone"
LAG_LIMIT = 0.1  # frames that a filter may lag behind, where BRF lags less
SHARES = tuple(np.round(np.arange(0.1, 1.0, 0.05), 2).tolist())
CUTOFFS, BETAS = (0.5, 1.0, 2.0, 4.0, 8.0), (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 40.0)


def filters(fps: float, scheme: LandmarkScheme) -> dict[str, dict[str, Filter]]:
    """Filter -> setting -> the function of points (T, L, 2)."""

    def euro(cutoff: float, beta: float) -> Filter:
        return lambda points: one_euro(points, scheme.distance(points), fps, cutoff, beta)

    return {
        "exponential": {f"{share}": lambda points, share=share: exponential_average(points, share) for share in SHARES},
        "face_average": {f"{share}": lambda points, share=share: face_average(points, share) for share in SHARES},
        "one_euro": {f"{cutoff} Hz, {beta}": euro(cutoff, beta) for cutoff, beta in product(CUTOFFS, BETAS)},
    }


def tradeoff(folder: Path, clips: Sequence[EvaluationClip], scheme: LandmarkScheme, failure_threshold: float) -> list[dict]:
    """Rows panel (dataset), series (system), setting, lag, jitter, error of the systems in `folder` and of every filter of the backbone's
    points, on all clips with truth."""
    rows = []
    tracks = {system: read_predictions(folder / f"{system}.parquet", scheme) for system in (BACKBONE, REFINED)}
    for dataset in datasets_with_truth(clips):
        chosen = [clip for clip in clips if clip.dataset == dataset]
        truths = {clip.clip_id: read_truth(clip.truth, scheme) for clip in chosen}

        def row(system: str, setting: str, predictions: Mapping[str, ClipPredictions]) -> dict:
            scores = score_with_truth(predictions, truths, scheme, failure_threshold)  # noqa: B023 (called in its own turn of the loop)
            figures = {"lag": scores["lag_e1"], "jitter": scores["residual_jitter"], "error": scores[f"nme_{main_normaliser(scheme)}"]}
            return {"panel": dataset, "series": system, "setting": setting, **figures}  # noqa: B023

        rows += [row(system, "", predictions) for system, predictions in tracks.items()]
        of_clip = {clip.clip_id: filters(clip.fps, scheme) for clip in chosen}
        for system, settings in filters(25.0, scheme).items():
            for setting in settings:
                filtered = {
                    name: replace(tracks[BACKBONE][name], points_frame=of_clip[name][system][setting](tracks[BACKBONE][name].points_frame))
                    for name in truths
                }
                rows.append(row(system, setting, filtered))
    return rows


def at_same_lag(rows: Iterable[Mapping]) -> dict[str, str]:
    """Filter -> its calmest setting in the first dataset that lags no more than BRF there, or than LAG_LIMIT where BRF lags less.

    The setting is chosen on the test clips themselves, which is in the filters' favour.
    """
    rows = list(rows)
    first = [row for row in rows if row["panel"] == rows[0]["panel"]]
    limit = max(LAG_LIMIT, *(abs(row["lag"]) for row in first if row["series"] == REFINED))
    chosen = {}
    for system in dict.fromkeys(row["series"] for row in first if row["setting"]):
        settings = [row for row in first if row["series"] == system]
        allowed = [row for row in settings if abs(row["lag"]) <= limit] or [min(settings, key=lambda row: abs(row["lag"]))]
        chosen[system] = min(allowed, key=lambda row: row["jitter"])["setting"]
    return chosen


def calmest(rows: Sequence[Mapping]) -> list[dict]:
    """Of the rows of a filter in a dataset those that no other is as early and as calm as, in the order of their lag."""
    ordered = sorted(rows, key=lambda row: (row["lag"], row["jitter"]))
    return [dict(row) for n, row in enumerate(ordered) if all(row["jitter"] < other["jitter"] for other in ordered[:n])]


def curve_rows(rows: Sequence[Mapping]) -> list[dict]:
    """What is drawn: of every filter its `calmest` settings, and the systems."""
    groups = dict.fromkeys((row["panel"], row["series"]) for row in rows)
    return [row for panel, series in groups for row in calmest([r for r in rows if (r["panel"], r["series"]) == (panel, series)])]


def write_filtered(folder: Path, clips: Sequence[EvaluationClip], scheme: LandmarkScheme, settings: Mapping[str, str]) -> None:
    """Write `folder`/<filter>.parquet: the backbone's predictions of the clips under every filter with its setting; those of anything else,
    that is of pictures, as they are."""
    schema = predictions_schema(scheme.num_landmarks)
    columns = read_table(folder / f"{BACKBONE}.parquet", schema)
    starts = [*np.flatnonzero(np.r_[True, columns["clip_id"][1:] != columns["clip_id"][:-1]]), len(columns["clip_id"])]
    fps = {clip.clip_id: clip.fps for clip in clips}
    for system, setting in settings.items():
        parts = [
            filters(fps[clip_id], scheme)[system][setting](points) if clip_id in fps else points
            for clip_id, points in (
                (str(columns["clip_id"][first]), columns["points_frame"][first:last]) for first, last in pairwise(starts)
            )
        ]
        write_table(folder / f"{system}.parquet", columns | {"points_frame": np.concatenate(parts)}, schema)
