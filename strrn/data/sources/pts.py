"""Labelled photographs in the layout of 300-W: beside every image a `.pts` file of the same name (ibug.doc.ic.ac.uk/resources/300-W)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")


@dataclass(frozen=True)
class LabelledImage:
    """points_frame: (L, 2) float32, 0-based."""

    path: Path
    points_frame: np.ndarray


def read_pts(path: Path, num_landmarks: int) -> np.ndarray:
    """(L, 2) float32 points of a `.pts` file, 0-based; the file counts from 1. Raises ValueError naming the file and what is wrong."""
    text = path.read_text(encoding="utf-8", errors="replace")
    _, opening, rest = text.partition("{")
    body, closing, _ = rest.partition("}")
    if not opening or not closing:
        raise ValueError(f"{path} is not a .pts file: no {{ … }} around the points")
    try:
        values = np.array(body.split(), np.float64)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if len(values) != 2 * num_landmarks:
        raise ValueError(f"{path} has {len(values)} numbers, expected x and y of {num_landmarks} points")
    return (values.reshape(-1, 2) - 1).astype(np.float32)


def labelled_images(folder: Path, num_landmarks: int) -> list[LabelledImage]:
    """All labelled images of the folder and below, sorted by path.

    Raises FileNotFoundError where there is none, or where an image is missing; ValueError where a `.pts` file is damaged.
    """
    files = sorted(folder.rglob("*.pts"))
    if not files:
        raise FileNotFoundError(
            f"{folder} holds no .pts file: unpack 300-W there (afw/, helen/trainset/, lfpw/trainset/, each with image and .pts)"
        )
    images = []
    for file in files:
        image = next((file.with_suffix(suffix) for suffix in IMAGE_SUFFIXES if file.with_suffix(suffix).is_file()), None)
        if image is None:
            raise FileNotFoundError(f"{file} has no image beside it: expected {file.stem} with one of {', '.join(IMAGE_SUFFIXES)}")
        images.append(LabelledImage(image, read_pts(file, num_landmarks)))
    return images
