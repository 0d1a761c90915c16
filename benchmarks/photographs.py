"""Labelled photographs for the benchmarks: which half is for development, which for the check, and how faces are cut out."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from strrn.core.geometry import CropTransform, bounding_box, fit_similarity
from strrn.core.images import decode_image
from strrn.core.landmarks import LandmarkScheme, load_scheme
from strrn.data.sources.pts import LabelledImage, labelled_images

NUM_LANDMARKS = 68
BOX_JITTER = 0.05
FAILURE = 0.08


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


def aligned_differences(
    predicted: np.ndarray, faces: Sequence[LabelledImage], reference_shape: np.ndarray, scheme: LandmarkScheme
) -> np.ndarray:
    """(N, L, 2): prediction minus truth in units of the inter-ocular distance, turned so that the true face is upright."""
    differences = []
    for points, face in zip(predicted, faces, strict=True):
        truth = face.points_frame
        transform = fit_similarity(truth, reference_shape, 1)
        turned = (transform.to_crop(points) - transform.to_crop(truth)) / transform.scale
        differences.append(turned / scheme.distance(truth, "inter_ocular"))
    return np.stack(differences)


def score(differences: np.ndarray, other: np.ndarray, scheme: LandmarkScheme) -> dict:
    """Errors of aligned differences (N, L, 2) of one half, plain and with the other half's mean of every point taken off."""
    inner = list(scheme.subsets["inner51"])
    result: dict = {"faces": len(differences)}
    for name, offset in (("plain", 0.0), ("without_offset", other.mean(0))):
        errors = np.linalg.norm(differences - offset, axis=-1)
        result[name] = {
            "nme_inter_ocular_68": float(errors.mean()),
            "nme_inter_ocular_51": float(errors[:, inner].mean()),
            "median_68": float(np.median(errors.mean(1))),
            "failure_rate_0.08_68": float((errors.mean(1) > FAILURE).mean()),
            "components": {part: float(errors[:, list(rows)].mean()) for part, rows in scheme.components.items()},
        }
    return result
