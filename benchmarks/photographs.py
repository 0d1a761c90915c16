"""Labelled photographs for the benchmarks: which half is for development, which for the check, and how faces are cut out."""

import hashlib
import re
from pathlib import Path

import numpy as np

from strrn.core.geometry import CropTransform, bounding_box
from strrn.core.images import decode_image
from strrn.core.landmarks import load_scheme
from strrn.data.sources.pts import LabelledImage, labelled_images

NUM_LANDMARKS = 68
BOX_JITTER = 0.05


def halves(folder: Path) -> tuple[list[LabelledImage], list[LabelledImage]]:
    """(development, check): by the SHA-1 of the file name, even and odd. The faces of one photograph of AFW (x_1, x_2) stay together.

    In Helen a number tells faces of one photograph apart as well; there the rule of the development data leaves it in the name, so some
    photographs have a face in each half.
    """
    parts: tuple[list, list] = ([], [])
    for image in labelled_images(folder, load_scheme("ibug68")):
        name = re.sub(r"_\d+$", "", image.path.stem) if "afw" in image.path.parts else image.path.stem
        parts[int(hashlib.sha1(name.encode()).hexdigest(), 16) % 2].append(image)
    return parts


def open_image(face: LabelledImage) -> np.ndarray:
    """(H, W, 3) uint8 RGB."""
    return decode_image(face.path.read_bytes(), str(face.path))


def jittered_box_crop(points: np.ndarray, reference_shape: np.ndarray, size: int, rng: np.random.Generator) -> CropTransform:
    """An upright crop by the box of the true points, its side and middle wrong by BOX_JITTER (standard deviation, share of its side)."""
    low, high = np.split(bounding_box(points), 2)
    side = np.sqrt(np.prod(high - low)) * np.exp(rng.normal() * BOX_JITTER)
    middle = (low + high) / 2 + rng.normal(size=2) * BOX_JITTER * side
    low, high = np.split(bounding_box(reference_shape), 2)
    scale = np.sqrt(np.prod(high - low)) / side
    shift = (low + high) / 2 - scale * middle
    return CropTransform(float(scale), 0.0, float(shift[0]), float(shift[1]), size)
