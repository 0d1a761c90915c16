"""Predictions and truth of clips as arrays over frames: what every system, ours or a peer, is scored from."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from strrn.core.landmarks import LandmarkScheme
from strrn.core.tables import predictions_schema, read_table, truth_schema
from strrn.data.sources.ibug_300vw import read_annotations

WITHOUT_FACE = ("lost", "searching")


@dataclass(frozen=True)
class ClipPredictions:
    """points_frame (T, L, 2) float32, NaN in frames without a face; confidence (T, L); state: T texts."""

    points_frame: np.ndarray
    confidence: np.ndarray
    state: tuple[str, ...]

    @property
    def present(self) -> np.ndarray:
        """(T,) bool: frames with points."""
        return np.isfinite(self.points_frame).all((1, 2))


@dataclass(frozen=True)
class ClipTruth:
    """points_frame (T, L, 2) float32 with NaN where not `valid` (T, L) bool."""

    points_frame: np.ndarray
    valid: np.ndarray


def read_predictions(path: Path | str, scheme: LandmarkScheme) -> dict[str, ClipPredictions]:
    """A predictions table by clip. Of several faces in a frame the one with the lowest face_id is taken; frames without a row are lost.

    Raises ValueError where the file is not a predictions table of the scheme.
    """
    table = read_table(path, predictions_schema(scheme.num_landmarks))
    clips = {}
    for clip_id in dict.fromkeys(table["clip_id"]):
        rows = np.flatnonzero(table["clip_id"] == clip_id)
        # Written last wins: rows with points over rows without, a low face_id over a high one.
        present = np.isfinite(table["points_frame"][rows]).all((1, 2))
        rows = rows[np.lexsort((-table["face_id"][rows], present))]
        frames = table["frame"][rows]
        count = int(frames.max()) + 1
        points = np.full((count, scheme.num_landmarks, 2), np.nan, np.float32)
        confidence = np.full((count, scheme.num_landmarks), np.nan, np.float32)
        state = np.full(count, "lost", object)
        points[frames], confidence[frames] = table["points_frame"][rows], table["confidence"][rows]
        state[frames] = table["state"][rows]
        clips[str(clip_id)] = ClipPredictions(points, confidence, tuple(map(str, state)))
    return clips


def hidden_share(path: Path | str, scheme: LandmarkScheme) -> np.ndarray:
    """(T,) share of the valid landmarks that cannot be seen in each frame of a truth table, 0 in a frame without any. Empty for a folder of
    annotations, which do not say what is hidden."""
    if Path(path).is_dir():
        return np.zeros(0)
    table = read_table(path, truth_schema(scheme.num_landmarks))
    order = np.argsort(table["frame"])
    valid, visible = (table[name][order].astype(bool) for name in ("valid", "visible"))
    return (valid & ~visible).sum(1) / np.maximum(valid.sum(1), 1)


def read_truth(path: Path | str, scheme: LandmarkScheme) -> ClipTruth:
    """The truth of a clip, ordered by frame: a table, or a folder of annotations as 300VW has them.

    Raises ValueError where frames of a table are missing or an annotation is damaged.
    """
    if Path(path).is_dir():
        points = read_annotations(Path(path), scheme)
        return ClipTruth(points, np.isfinite(points).all(-1))
    table = read_table(path, truth_schema(scheme.num_landmarks))
    order = np.argsort(table["frame"])
    frames = table["frame"][order]
    if not np.array_equal(frames, np.arange(len(frames))):
        raise ValueError(f"{path}: truth of {len(frames)} frames, but they are not numbered 0..{len(frames) - 1}")
    return ClipTruth(table["points_frame"][order], table["valid"][order].astype(bool))
