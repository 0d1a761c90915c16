"""`.pts` files, the labels of 300-W (ibug.doc.ic.ac.uk/resources/300-W): beside every image one of the same name, points counted from 1."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from strrn.core.images import IMAGE_SUFFIXES
from strrn.core.landmarks import IBUG68_LANDMARKS, LandmarkScheme
from strrn.data.sources.labelled import LabelError


@dataclass(frozen=True)
class LabelledImage:
    """points_frame: (L, 2) float32, 0-based."""

    path: Path
    points_frame: np.ndarray


def read_pts(path: Path, scheme: LandmarkScheme) -> np.ndarray:
    """(L, 2) float32 points of a `.pts` file, 0-based; the file counts from 1. 68 points also serve a scheme that has `from_ibug68`.

    Raises LabelError (a ValueError) naming the file and what is wrong: `damaged labels` or `wrong point count`.
    """
    text = path.read_text(encoding="utf-8", errors="replace")
    _, opening, rest = text.partition("{")
    body, closing, _ = rest.partition("}")
    if not opening or not closing:
        raise LabelError("damaged labels", f"{path} is not a .pts file: no {{ … }} around the points")
    try:
        values = np.array(body.split(), np.float64)
    except ValueError as error:
        raise LabelError("damaged labels", f"{path}: {error}") from error
    counts = point_counts(scheme)
    if len(values) not in [2 * count for count in counts]:
        shown = " or ".join(map(str, counts))
        raise LabelError("wrong point count", f"{path} has {len(values)} numbers, expected x and y of {shown} points")
    return of_scheme((values.reshape(-1, 2) - 1).astype(np.float32), scheme)


def point_counts(scheme: LandmarkScheme) -> list[int]:
    """How many points labels of a scheme may have: its own, or the 68 of ibug68 that it can be had from."""
    return sorted({scheme.num_landmarks} | ({IBUG68_LANDMARKS} if scheme.knows_ibug68 else set()))


def of_scheme(points: np.ndarray, scheme: LandmarkScheme) -> np.ndarray:
    """Points of one of `point_counts` -> (L, 2) float32."""
    return points if len(points) == scheme.num_landmarks else scheme.from_68(points, np.isfinite(points).all(-1))[0]


def image_of(file: Path) -> Path:
    """The image beside a `.pts` file. Raises LabelError where there is none."""
    endings = [*IMAGE_SUFFIXES, *map(str.upper, IMAGE_SUFFIXES)]  # cameras write .JPG
    image = next((file.with_suffix(ending) for ending in endings if file.with_suffix(ending).is_file()), None)
    if image is None:
        raise LabelError("missing image", f"{file} has no image beside it: expected {file.stem} with one of {', '.join(IMAGE_SUFFIXES)}")
    return image


def labelled_images(folder: Path, scheme: LandmarkScheme) -> list[LabelledImage]:
    """All labelled images of the folder and below, sorted by path.

    Raises FileNotFoundError where there is none; LabelError where an image is missing or a `.pts` file is damaged.
    """
    files = sorted(folder.rglob("*.pts"))
    if not files:
        raise FileNotFoundError(
            f"{folder} holds no .pts file: unpack 300-W there (afw/, helen/trainset/, lfpw/trainset/, each with image and .pts)"
        )
    return [LabelledImage(image_of(file), read_pts(file, scheme)) for file in files]
