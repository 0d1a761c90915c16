"""The user's own labelled pictures: a folder of images with .pts files beside them, one CSV file, or one of COCO keypoints."""

import csv
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from strrn.core.files import files_below
from strrn.core.landmarks import LandmarkScheme
from strrn.data.sources.coco import coco_annotations, coco_points
from strrn.data.sources.labelled import LabelError, LabelledFace
from strrn.data.sources.pts import image_of, of_scheme, point_counts, read_pts
from strrn.data.sources.record import SPLITS, split_of

log = logging.getLogger(__name__)
SOURCE, LICENCE = "own", "user"
Row = tuple[str, Path, Callable[[], np.ndarray]]  # name of the picture, its file, and what reads the points (L, 2) or raises LabelError
FEW_PICTURES = 10  # of a split: fewer say next to nothing


def own_faces(path: Path, scheme: LandmarkScheme, val: float, test: float) -> list[LabelledFace | dict]:
    """The faces of a folder (and below), of a CSV file or of COCO keypoints (.json), or rejected rows.

    A picture's split is `split_of` its path as the file has it, or its path below the folder without ending: neither the name of the file
    nor that of the folder changes it.
    Raises FileNotFoundError where there is nothing; ValueError for a CSV file with other columns than image, x0, y0, x1, y1, …, for JSON
    that is not COCO's, where there is no face, and where nearly all of ten or more faces lie on their side.
    """
    found = list(_of_path(path, scheme, val, test))
    if not found:
        raise ValueError(f"{path} of params.yaml, labels.own, holds no labelled face")
    _check_upright(path, [face.points_frame for face in found if isinstance(face, LabelledFace)], scheme)
    return found


def pts_files(folder: Path) -> list[Path]:
    """The `.pts` files in the folder and below, sorted, but hidden ones."""
    return [file for file in files_below(folder) if file.suffix == ".pts"]


def log_splits(faces: Iterable[LabelledFace]) -> None:
    """Log how many own pictures each split has, and warn where there are few to choose models by, or to test them on."""
    splits = {face.identity: face.split for face in faces if face.source == SOURCE}
    if not splits:
        return
    counts = {split: sum(other == split for other in splits.values()) for split in SPLITS}
    log.info("own pictures: %s", ", ".join(f"{split} {count}" for split, count in counts.items()))
    few = [split for split in ("val", "test") if counts[split] < FEW_PICTURES]
    if few:
        log.warning(
            "fewer than %d own pictures in %s: what they measure is mostly chance. Label more, or raise the shares in params.yaml, labels",
            FEW_PICTURES,
            " and ".join(few),
        )


def _of_path(path: Path, scheme: LandmarkScheme, val: float, test: float) -> Iterator[LabelledFace | dict]:
    if path.suffix.lower() == ".csv" and path.is_file():
        return _of_rows(path, _table(path, scheme), val, test)
    if path.suffix.lower() == ".json" and path.is_file():
        return _of_rows(path, _coco(path, scheme), val, test)
    if not path.exists():
        raise FileNotFoundError(f"{path.absolute()} of params.yaml, labels.own, does not exist")
    files = pts_files(path) if path.is_dir() else []
    if not files:
        raise FileNotFoundError(
            f"{path} of params.yaml, labels.own, is neither a .csv or .json file nor a folder with .pts files: put a .pts file of the "
            "same name beside every picture, or name a CSV file with the columns image, x0, y0, x1, y1, … or COCO keypoints"
        )
    return _of_folder(path, files, scheme, val, test)


def _of_folder(folder: Path, files: list[Path], scheme: LandmarkScheme, val: float, test: float) -> Iterator[LabelledFace | dict]:
    for file in files:
        name = file.relative_to(folder).with_suffix("").as_posix()
        image_id = f"{folder.name}/{name}"
        try:
            points = read_pts(file, scheme)
            yield LabelledFace(image_id, image_id, split_of(name, val, test), SOURCE, LICENCE, image_of(file), None, points)
        except LabelError as error:
            yield error.row(image_id)


def _of_rows(path: Path, rows: Iterable[Row], val: float, test: float) -> Iterator[LabelledFace | dict]:
    """Rows of one image share a split."""
    seen: Counter[str] = Counter()
    for name, image, read in rows:
        photograph = f"{path.stem}/{name}"
        image_id = f"{photograph}#{seen[photograph]}" if seen[photograph] else photograph
        seen[photograph] += 1
        try:
            yield LabelledFace(image_id, photograph, split_of(name, val, test), SOURCE, LICENCE, image, None, read())
        except LabelError as error:
            yield error.row(image_id)


def _table(path: Path, scheme: LandmarkScheme) -> Iterator[Row]:
    """A row a face, points 0-based, empty cells unlabelled; images are named from the table's folder."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines(keepends=True)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 ({error}): save it as CSV in UTF-8, separated by commas") from error
    rows = csv.reader(lines)
    header = [name.strip().lower() for name in next(rows, [])]
    while header and not header[-1]:  # columns that a spreadsheet adds
        header.pop()
    if len(header) == 1 and any(mark in header[0] for mark in ";\t"):
        mark = "semicolons" if ";" in header[0] else "tabs"
        raise ValueError(f"{path}: its cells are separated by {mark}: save it with commas, and decimals with a point")
    for count in point_counts(scheme):
        columns = ["image", *(f"{axis}{number}" for number in range(count) for axis in "xy")]
        if header in (columns, [*columns, *(f"confidence{number}" for number in range(count))]):  # as of `strrn photos`, not read
            break
    else:
        columns = ["image", *(f"{axis}{number}" for number in range(scheme.num_landmarks) for axis in "xy")]
        raise ValueError(
            f"{path}: its first line has {len(header)} columns {_short(header)}, expected the {len(columns)} columns {_short(columns)} "
            f"for the {scheme.num_landmarks} landmarks of scheme {scheme.name!r}, separated by commas"
        )
    for row in rows:
        if any(cell.strip() for cell in row):
            filled = row[: len(header)] if not any(cell.strip() for cell in row[len(header) :]) else row
            read = partial(_points, filled, len(header), len(columns), scheme, f"{path}, line {rows.line_num}")
            yield row[0].strip(), path.parent / row[0].strip(), read


def _coco(path: Path, scheme: LandmarkScheme) -> Iterator[Row]:
    for name, image, annotation, order in coco_annotations(path, scheme):
        yield name, image, partial(coco_points, annotation, order, scheme, f"{path}, annotation {annotation.get('id')}")


def _points(row: list[str], num_cells: int, num_columns: int, scheme: LandmarkScheme, where: str) -> np.ndarray:
    """(L, 2) float32 from the first of the cells. Raises LabelError for another number of cells, for what is no number, for half a point."""
    if len(row) != num_cells:
        raise LabelError("wrong point count", f"{where} has {len(row)} cells, expected {num_cells}")
    try:
        points = np.array([float(cell) if cell.strip() else np.nan for cell in row[1:num_columns]], np.float32).reshape(-1, 2)
    except ValueError as error:
        cure = ": write decimals with a point" if any("," in cell for cell in row[1:num_columns]) else ""
        raise LabelError("damaged labels", f"{where}: {error}{cure}") from error
    half = np.flatnonzero(np.isfinite(points).sum(-1) == 1)
    if len(half):
        raise LabelError("damaged labels", f"{where}: only one of x{half[0]}, y{half[0]} is a number")
    return of_scheme(points, scheme)


def _check_upright(path: Path, faces: Sequence[np.ndarray], scheme: LandmarkScheme) -> None:
    """faces: F times (L, 2). A landmark and its mirror image lie side by side in an upright face, above each other where x, y are swapped.

    Raises ValueError where they lie above each other in nearly all of many faces, and warns where in most. A scheme without such pairs
    cannot be checked.
    """
    left, right = np.array([(one, other) for one, other in enumerate(scheme.mirror) if one < other], int).reshape(-1, 2).T
    points = np.stack(faces) if faces else np.empty((0, scheme.num_landmarks, 2))
    x, y = np.nansum(np.abs(points[:, left] - points[:, right]), 1).T  # (F,) each; 0 where no pair is labelled
    lying, known = int((y > x).sum()), int((x + y > 0).sum())
    if known < FEW_PICTURES or 10 * lying < 9 * known:
        if 2 * lying > known:
            log.warning("%s: %d of %d faces lie on their side; are x and y swapped?", path, lying, known)
    else:
        first, second = scheme.names[left[0]], scheme.names[right[0]]
        raise ValueError(
            f"{path} of params.yaml, labels.own: {lying} of {known} faces lie on their side, with points such as {first} and {second} above "
            "each other. Probably x and y are swapped: x counts columns from the left and comes first, y counts rows from the top. Or the "
            "pictures were labelled as they look when turned: turn the files and label those"
        )


def _short(columns: list[str]) -> str:
    return ", ".join(columns if len(columns) <= 6 else [*columns[:4], "…", columns[-1]])
