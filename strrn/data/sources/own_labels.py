"""The user's own labelled pictures: a folder of images with .pts files beside them, or one CSV file."""

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from strrn.core.landmarks import LandmarkScheme
from strrn.data.sources.labelled import LabelError, LabelledFace
from strrn.data.sources.pts import image_of, read_pts
from strrn.data.sources.record import split_of

SOURCE, LICENCE = "own", "user"


def own_faces(path: Path, scheme: LandmarkScheme, val: float, test: float) -> Iterator[LabelledFace | dict]:
    """The faces of a folder (and below) or of a CSV file, or rejected rows. Pictures are divided by `split_of`.

    Raises FileNotFoundError where there is nothing, ValueError for a CSV file with other columns than image, x0, y0, x1, y1, …
    """
    if path.suffix.lower() == ".csv" and path.is_file():
        return _of_table(path, scheme, val, test)
    files = sorted(path.rglob("*.pts")) if path.is_dir() else []
    if not files:
        raise FileNotFoundError(
            f"{path} of params.yaml, labels.own, is neither a .csv file nor a folder with .pts files: put a .pts file of the same name "
            "beside every picture, or name a CSV file with the columns image, x0, y0, x1, y1, …"
        )
    return _of_folder(path, files, scheme, val, test)


def _of_folder(folder: Path, files: list[Path], scheme: LandmarkScheme, val: float, test: float) -> Iterator[LabelledFace | dict]:
    for file in files:
        image_id = f"{folder.name}/{file.relative_to(folder).with_suffix('').as_posix()}"
        try:
            points = read_pts(file, scheme)
            yield LabelledFace(image_id, image_id, split_of(image_id, val, test), SOURCE, LICENCE, image_of(file), None, points)
        except LabelError as error:
            yield error.row(image_id)


def _of_table(path: Path, scheme: LandmarkScheme, val: float, test: float) -> Iterator[LabelledFace | dict]:
    """A row a face, points 0-based, empty cells unlabelled; images are named from the table's folder. Rows of one image share a split."""
    columns = ["image", *(f"{axis}{number}" for number in range(scheme.num_landmarks) for axis in "xy")]
    seen: Counter[str] = Counter()
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file)
        header = next(rows, [])
        if header != columns:
            raise ValueError(
                f"{path}: its first line has {len(header)} columns {_short(header)}, expected the {len(columns)} columns {_short(columns)} "
                f"for the {scheme.num_landmarks} landmarks of scheme {scheme.name!r}"
            )
        for row in filter(None, rows):
            photograph = f"{path.stem}/{row[0]}"
            image_id = f"{photograph}#{seen[photograph]}" if seen[photograph] else photograph
            seen[photograph] += 1
            try:
                points = _points(row, len(columns), f"{path}, line {rows.line_num}")
                split = split_of(photograph, val, test)
                yield LabelledFace(image_id, photograph, split, SOURCE, LICENCE, path.parent / row[0], None, points)
            except LabelError as error:
                yield error.row(image_id)


def _points(row: list[str], num_columns: int, where: str) -> np.ndarray:
    """(L, 2) float32. Raises LabelError for another number of cells, for what is not a number, and for half a point."""
    if len(row) != num_columns:
        raise LabelError("wrong point count", f"{where} has {len(row)} cells, expected {num_columns}")
    try:
        points = np.array([float(cell) if cell.strip() else np.nan for cell in row[1:]], np.float32).reshape(-1, 2)
    except ValueError as error:
        raise LabelError("damaged labels", f"{where}: {error}") from error
    half = np.flatnonzero(np.isfinite(points).sum(-1) == 1)
    if len(half):
        raise LabelError("damaged labels", f"{where}: only one of x{half[0]}, y{half[0]} is a number")
    return points


def _short(columns: list[str]) -> str:
    return ", ".join(columns if len(columns) <= 6 else [*columns[:4], "…", columns[-1]])
