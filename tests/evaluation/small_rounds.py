"""Two mined rounds and their crops in a small folder, as the stages `crop` and `mine` leave them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from strrn.core.files import write_json
from strrn.core.images import encode_jpeg
from strrn.core.tables import crops_schema, detections_schema, pseudo_labels_schema, write_table
from tests.evaluation.small_run import SCHEME, L, drawn_face

SIZE = 120
THRESHOLD = 0.02
GREY = 90
FACE = drawn_face() + (60, 58)  # in the crop
FIRST = "first frame of the track"


@dataclass(frozen=True)
class Frame:
    """teaches: role -> how far the label lies to the right of the detection, in crop pixels."""

    track_id: str
    number: int
    l_det: float = np.nan
    l_tck: float = np.nan
    reason: str = ""
    teaches: tuple[tuple[str, float], ...] = ()


BOTH = (("detector", 1.0), ("tracker", 1.0))  # the consensus: the track lies 2 px to the right
FRAMES = (
    Frame("a.0", 10, reason=FIRST),
    Frame("a.0", 11, 0.010, 0.012, teaches=BOTH),
    Frame("a.0", 12, 0.014, 0.011, teaches=(("detector", 3.0),)),
    Frame("a.0", 13, 0.011, 0.016, teaches=(("tracker", 0.0),)),
    Frame("a.0", 14, 0.015, 0.023, "l_tck"),
    Frame("a.0", 15, 0.030, 0.040, "l_det and l_tck"),
    Frame("a.0", 16, 0.001, 0.001, "repeats the frame before"),
    Frame("b.0", 0, reason=FIRST),
    Frame("b.0", 1, 0.018, 0.019, teaches=BOTH),
    Frame("b.0", 2, 0.021, 0.013, "l_det"),
    Frame("b.0", 4, 0.012, 0.013, "follows a gap in the track"),
)


def write_round(folder: Path, frames: tuple[Frame, ...] = FRAMES, shift: float = 0.0, summary: dict | None = None) -> Path:
    """Detections are `FACE`, labels lie `shift` pixels further to the right than a frame says; returns the folder."""
    rows = [(frame, role, right) for frame in frames for role, right in frame.teaches]
    write_table(
        folder / "labels.parquet",
        {
            "clip_id": [frame.track_id for frame, _, _ in rows],
            "frame": [frame.number for frame, _, _ in rows],
            "teaches": [role for _, role, _ in rows],
            "points_crop": np.stack([FACE + (right + shift, 0) for _, _, right in rows]),
            "mask": np.ones((len(rows), L), bool),
            "l_det": [frame.l_det for frame, _, _ in rows],
            "l_tck": [frame.l_tck for frame, _, _ in rows],
            "round": [folder.name] * len(rows),
            "detector_hash": ["d"] * len(rows),
            "tracker_hash": ["t"] * len(rows),
            "schema_version": [1] * len(rows),
        },
        pseudo_labels_schema(L),
    )
    write_table(
        folder / "detections.parquet",
        {
            "track_id": [frame.track_id for frame in frames],
            "frame": [frame.number for frame in frames],
            "points_crop": np.stack([FACE] * len(frames)),
            "l_det": [frame.l_det for frame in frames],
            "l_tck": [frame.l_tck for frame in frames],
            "reason": [frame.reason for frame in frames],
        },
        detections_schema(L),
    )
    seen = [frame for frame in frames if frame.reason != FIRST]
    counted = {"threshold": THRESHOLD, "frames_seen": len(seen), "kept": sum(not frame.reason for frame in seen)}
    write_json(folder / "summary.json", counted if summary is None else summary)
    return folder


def write_crops(folder: Path) -> Path:
    """Grey crops for all of `FRAMES`."""
    for track_id in ("a.0", "b.0"):
        frames = [frame.number for frame in FRAMES if frame.track_id == track_id]
        count = len(frames)
        columns = {
            "frame": frames,
            "image": [encode_jpeg(np.full((SIZE, SIZE, 3), GREY, np.uint8), 95)] * count,
            "transform": np.tile([1.0, 0.0, 0.0, 0.0], (count, 1)),
            "box": np.zeros((count, 4)),
            "face_probability": np.ones(count),
            "detected": np.ones(count, bool),
            "repeats": np.zeros(count, bool),
        }
        write_table(folder / f"tracks/{track_id}.parquet", columns, crops_schema())
    write_json(folder / "reference.json", {"scheme": SCHEME.name, "size": SIZE})
    return folder
