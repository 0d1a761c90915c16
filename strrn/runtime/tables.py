"""Landmarks to files: CSV, Parquet or JSON lines, written while the video runs.

A row per face and frame, and one without a face for a frame that has none: `frame`, `timestamp` (seconds), `face_id` (nothing where there is
no face), `state`, `reason` (of a change), the points in pixels of the video and their confidence. In CSV the columns are x0, y0, …,
confidence0, …; in Parquet and JSON lines `points_frame` holds x0, y0, x1, … and `confidence` is a list as well. What is not known is empty
(CSV) or null.
"""

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np

from strrn.core.files import atomic
from strrn.core.landmarks import LandmarkScheme
from strrn.runtime.loop import FaceState

ROWS_IN_MEMORY = 1000
WriteFrame = Callable[[int, float, Sequence[FaceState]], None]


def landmark_table(path: Path, scheme: LandmarkScheme) -> AbstractContextManager[WriteFrame]:
    """A context that gives the function to write a frame with (number, seconds, faces). The file appears under its name when the context
    ends well. Raises ValueError for a suffix other than .csv, .parquet or .jsonl."""
    if path.suffix not in TABLES:
        raise ValueError(f"{path}: expected a name that ends in one of {', '.join(TABLES)}")
    return TABLES[path.suffix](path, scheme)


def _head(frame: int, seconds: float, face: FaceState) -> list:
    return [frame, float(seconds), face.face_id if face.face_id >= 0 else None, face.state.name, face.reason]


def _numbers(values: np.ndarray, digits: int) -> list[float | None]:
    return [round(float(value), digits) if np.isfinite(value) else None for value in values]


@contextmanager
def _csv(path: Path, scheme: LandmarkScheme) -> Iterator[WriteFrame]:
    count = scheme.num_landmarks
    names = [f"{axis}{i}" for i in range(count) for axis in "xy"] + [f"confidence{i}" for i in range(count)]
    with atomic(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["frame", "timestamp", "face_id", "state", "reason", *names])

        def write(frame: int, seconds: float, faces: Sequence[FaceState]) -> None:
            for face in faces:
                head = _head(frame, seconds, face)
                head[1] = f"{seconds:.6f}"
                rows.writerow([*head, *_numbers(face.points_frame.ravel(), 2), *_numbers(face.confidence, 3)])

        yield write


@contextmanager
def _json_lines(path: Path, scheme: LandmarkScheme) -> Iterator[WriteFrame]:
    names = ["frame", "timestamp", "face_id", "state", "reason"]
    with atomic(path) as temporary, open(temporary, "w", encoding="utf-8") as file:

        def write(frame: int, seconds: float, faces: Sequence[FaceState]) -> None:
            for face in faces:
                row: dict[str, object] = dict(zip(names, _head(frame, seconds, face), strict=True))
                row["points_frame"] = _numbers(face.points_frame.ravel(), 2) if face.has_points else None
                row["confidence"] = _numbers(face.confidence, 3) if face.has_points else None
                file.write(json.dumps(row) + "\n")

        yield write


@contextmanager
def _parquet(path: Path, scheme: LandmarkScheme) -> Iterator[WriteFrame]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    count = scheme.num_landmarks
    schema = pa.schema(
        [
            ("frame", pa.int32()),
            ("timestamp", pa.float64()),
            ("face_id", pa.int32()),
            ("state", pa.string()),
            ("reason", pa.string()),
            ("points_frame", pa.list_(pa.float32(), 2 * count)),
            ("confidence", pa.list_(pa.float32(), count)),
        ]
    )
    waiting: list[list] = []
    with atomic(path) as temporary, pq.ParquetWriter(temporary, schema) as file:

        def flush() -> None:
            columns = list(zip(*waiting, strict=True)) if waiting else [[] for _ in schema]
            file.write_table(pa.table([pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema=schema))
            waiting.clear()

        def write(frame: int, seconds: float, faces: Sequence[FaceState]) -> None:
            for face in faces:
                known = face.has_points
                points = face.points_frame.ravel().astype(np.float32) if known else None
                waiting.append([*_head(frame, seconds, face), points, face.confidence.astype(np.float32) if known else None])
            if len(waiting) >= ROWS_IN_MEMORY:
                flush()

        yield write
        flush()


TABLES = {".csv": _csv, ".parquet": _parquet, ".jsonl": _json_lines}
