"""BRF over a frozen backbone in the tracking loop, beside the backbone alone and filters of its points: predictions, and what calm costs in lag."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import torch

from strrn.core.heatmaps import patches_around
from strrn.core.landmarks import LandmarkScheme
from strrn.core.tables import predictions_schema, read_table, write_table
from strrn.evaluation.clips import EvaluationClip, datasets_with_truth
from strrn.evaluation.filters import Filter, exponential_average, face_average, one_euro
from strrn.evaluation.predict import REFINED, torch_models
from strrn.evaluation.predictions import ClipPredictions, read_predictions, read_truth
from strrn.evaluation.score import main_normaliser, score_with_truth
from strrn.models import checkpoint
from strrn.models.brf import Refiner
from strrn.models.export import REFINER_OUTPUTS, RefinerGraph
from strrn.models.pixels import network_input
from strrn.runtime.backbone import OnnxBackbone, read_contract
from strrn.runtime.loop import Models
from strrn.runtime.models import open_session, without_patches
from strrn.runtime.refine import STATE, Look, Refinement

DETECTOR = "detector"
BACKBONE, BRF = "backbone", REFINED
LAG_LIMIT = 0.1  # frames that a filter may lag behind, where BRF lags less
SHARES = tuple(np.round(np.arange(0.1, 1.0, 0.05), 2).tolist())
CUTOFFS, BETAS = (0.5, 1.0, 2.0, 4.0, 8.0), (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 40.0)


def open_backbone(backbone: str, detector_file: Path, reference_shape: np.ndarray, size: int, unit: float, side: int) -> tuple[Look, int, bool]:
    """(look, stride of the crops that it reads, does it bring heatmaps).

    backbone: `detector`, the checkpoint detector_file, or the path of an ONNX file with its contract beside it. unit, side: of its patches,
    see OnnxBackbone. Raises FileNotFoundError or ValueError for an ONNX file that cannot be used.
    """
    if backbone != DETECTOR:
        contract = read_contract(backbone)
        look = OnnxBackbone(open_session(backbone), contract, reference_shape, size, unit, side)
        return look, 1, look.has_patches
    detector, _ = checkpoint.load(detector_file)
    has_patches = hasattr(detector, "codec")

    def look(crops: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        images = network_input(crops, detector.stride // round(size / len(crops[0])))
        with torch.inference_mode():
            if not has_patches:
                points, confidence = detector(images)
                return points.numpy(), confidence.numpy(), None
            found, (points, confidence) = detector.detect(images), detector(images)
        heatmaps, stride = found.heatmaps[-1].numpy(), detector.codec.stride
        around = patches_around(heatmaps, detector.codec.to_heatmap(points).numpy(), unit / stride, side)
        return points.numpy(), confidence.numpy(), around

    return look, detector.stride, has_patches


def torch_refinement(refiner: Refiner, look: Look) -> Refinement:
    """The head as the tracking loop takes it."""
    graph = RefinerGraph(refiner)

    def step(feed: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        with torch.inference_mode():
            answer = graph(**{name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in feed.items()})
        return {name: value.numpy() for name, value in zip(REFINER_OUTPUTS, answer, strict=True)}

    first = refiner.first_state(1)
    return Refinement(look, step, {name: getattr(first, name).numpy() for name in STATE})


def refined_models(backbone: str, detector_file: Path, tracker_file: Path, refiner_file: Path) -> Models:
    """What the tracking loop is built from, with the head; the tracker is there as the judge of cycles. Called in every worker process."""
    models = torch_models(detector_file, tracker_file)
    refiner, _ = checkpoint.load(refiner_file)
    look, stride, _ = open_backbone(backbone, detector_file, models.reference_shape, models.size, refiner.unit, refiner.patch_size)
    own = {} if backbone == DETECTOR else {"stride": stride, "track": _of_whole_crops(models)}
    return replace(models, detect=lambda crops: without_patches(look, crops), refinement=torch_refinement(refiner, look), **own)


def _of_whole_crops(models: Models) -> object:
    """`models.track` for crops that were not reduced."""
    from strrn.core.images import reduce_image

    return lambda crops, starts: models.track([reduce_image(crop, models.stride) for crop in crops], starts)


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
    tracks = {system: read_predictions(folder / f"{system}.parquet", scheme) for system in (BACKBONE, BRF)}
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
    limit = max(LAG_LIMIT, *(abs(row["lag"]) for row in first if row["series"] == BRF))
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
    """Write `folder`/<filter>.parquet: the backbone's predictions under every filter with its setting."""
    schema = predictions_schema(scheme.num_landmarks)
    columns = read_table(folder / f"{BACKBONE}.parquet", schema)
    starts = [*np.flatnonzero(np.r_[True, columns["clip_id"][1:] != columns["clip_id"][:-1]]), len(columns["clip_id"])]
    fps = {clip.clip_id: clip.fps for clip in clips}
    for system, setting in settings.items():
        parts = [
            filters(fps[str(columns["clip_id"][first])], scheme)[system][setting](columns["points_frame"][first:last])
            for first, last in pairwise(starts)
        ]
        write_table(folder / f"{system}.parquet", columns | {"points_frame": np.concatenate(parts)}, schema)
