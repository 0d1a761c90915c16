"""Scores of a whole round: both systems on all datasets, as JSON and as per-frame rows; and the metrics of all rounds together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from strrn.core.files import read_json, write_json
from strrn.core.landmarks import LandmarkScheme
from strrn.core.summary import VALIDATION
from strrn.core.tables import read_table, write_table
from strrn.evaluation.clips import REAL_CLIPS, FaceInView, datasets_with_truth
from strrn.evaluation.predict import SYSTEMS, cycle_schema
from strrn.evaluation.predictions import ClipPredictions, ClipTruth, read_predictions, read_truth
from strrn.evaluation.score import frame_rows, score_with_truth, score_without_truth
from strrn.evaluation.stills import EvaluationStill, Tested

APART = 15  # frames between two that are shown of one clip


@dataclass(frozen=True)
class EvaluateParameters:
    """workers: processes, 0 = all cores (does not change results). max_frames_per_clip: of real clips, those with truth are run whole.
    failure_threshold: normalised error above which a frame has failed. real_clips: path below data/raw -> whether a face is in view."""

    workers: int
    max_frames_per_clip: int
    failure_threshold: float
    real_clips: dict[str, FaceInView]

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise ValueError(f"workers: found {self.workers}, expected 0 (all cores) or more")
        if self.max_frames_per_clip < 3:
            raise ValueError(f"max_frames_per_clip: found {self.max_frames_per_clip}, expected at least 3, which jitter needs")
        if not self.failure_threshold > 0:
            raise ValueError(f"failure_threshold: found {self.failure_threshold}, expected a share of the distance above 0")
        if FaceInView.always not in self.real_clips.values():
            raise ValueError(f"real_clips: found {self.real_clips}, expected at least one clip with a face always in view")


def frames_schema() -> pa.Schema:
    """Per-frame errors of a round for curves and pictures. nme: infinity where nothing was predicted."""
    texts = [(name, pa.string()) for name in ("system", "dataset", "clip_id")]
    return pa.schema([*texts, ("frame", pa.int32()), ("nme", pa.float32()), ("residual_jitter", pa.float32())])


def score_round(
    folder: Path,
    clips: Sequence[Tested],
    scheme: LandmarkScheme,
    parameters: EvaluateParameters,
    scores_path: Path,
    systems: Sequence[str] = tuple(SYSTEMS),
) -> None:
    """Score `folder`/<system>.parquet and cycle.parquet against the truth of clips and pictures.

    Writes `folder`/frames.parquet (without validation clips) and `scores_path`.
    """
    columns: dict[str, list] = {name: [] for name in frames_schema().names}
    cycles = read_table(folder / "cycle.parquet", cycle_schema())
    scores: dict[str, dict] = {}
    for system in systems:
        predictions = read_predictions(folder / f"{system}.parquet", scheme)
        scores[system] = {}
        for dataset in datasets_with_truth(clips):
            truths = {clip.clip_id: _truth(clip, scheme) for clip in clips if clip.dataset == dataset}
            scores[system][dataset] = score_with_truth(predictions, truths, scheme, parameters.failure_threshold)
            if dataset == VALIDATION:
                continue  # chosen by, not shown
            rows = frame_rows(predictions, truths, scheme)
            for name, values in rows.items():
                columns[name] += values
            columns["system"] += [system] * len(rows["frame"])
            columns["dataset"] += [dataset] * len(rows["frame"])
        real: dict[str, ClipPredictions] = {c.clip_id: predictions[c.clip_id] for c in clips if c.dataset == REAL_CLIPS}
        of_system = cycles["system"] == system
        errors = {clip_id: cycles["cycle_error"][of_system & (cycles["clip_id"] == clip_id)] for clip_id in real}
        views = {view: [c.clip_id for c in clips if c.dataset == REAL_CLIPS and c.face is view] for view in FaceInView}
        always, never = views[FaceInView.always], views[FaceInView.never]
        scores[system][REAL_CLIPS] = score_without_truth(real, errors, scheme, always, never)
    write_table(folder / "frames.parquet", columns, frames_schema())
    write_json(scores_path, scores)


def _truth(clip: Tested, scheme: LandmarkScheme) -> ClipTruth:
    return clip.truth if isinstance(clip, EvaluationStill) else read_truth(clip.truth, scheme)


def collect(scores: Mapping[str, Path], exported: str, siblings: Mapping[str, Path]) -> dict:
    """`{"rounds": {round: {system: {dataset: {metric: value}}}}, "exported": round}` of the rounds given, in their order;
    beside it, under its own name, each sibling method: of BRF its systems, of another its arms in place of rounds.

    Raises FileNotFoundError for a sibling that has not been scored.
    """
    for name, path in siblings.items():
        if not path.is_file():
            raise FileNotFoundError(f"{path}: there are no scores of {name!r}; run `dvc repro`")
    rounds = {name: read_json(path) for name, path in scores.items()}
    return {"rounds": rounds, "exported": exported, **{name: read_json(path) for name, path in siblings.items()}}


def read_frames_table(folder: Path) -> dict[str, np.ndarray]:
    return read_table(folder / "frames.parquet", frames_schema())


def extreme_frames(columns: Mapping[str, np.ndarray], system: str, number: int, *, worst: bool) -> list[tuple[str, int, float]]:
    """(clip_id, frame, nme) of a system's worst or best frames, at most one from a stretch of `APART` frames of a clip.

    A frame without a prediction is the worst there is.
    """
    rows = np.flatnonzero((columns["system"] == system) & ~np.isnan(columns["nme"]))
    errors = columns["nme"][rows].astype(float)
    chosen: list[tuple[str, int, float]] = []
    for i in rows[np.argsort(-errors if worst else errors, kind="stable")]:
        clip_id, frame = str(columns["clip_id"][i]), int(columns["frame"][i])
        if len(chosen) < number and all(clip_id != other or abs(frame - at) >= APART for other, at, _ in chosen):
            chosen.append((clip_id, frame, float(columns["nme"][i])))
    return chosen
