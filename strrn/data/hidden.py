"""A box in front of a face, and the landmarks behind it."""

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from strrn.data.datasets import StillDataset

SIDES = 0.15, 0.45  # of a random box, in crop sides
MARGIN = 0.02  # about a component, in crop sides

Box = tuple[float, float, float, float]


def random_box(points: np.ndarray, size: int, random: np.random.Generator) -> Box:
    """A box (x0, y0, x1, y1) about a landmark of points (L, 2), its middle anywhere near; crop pixels, size: side of the crop."""
    known = points[np.isfinite(points).all(-1)]
    middle = known[random.integers(len(known))] + random.normal(size=2) * SIDES[0] / 2 * size
    half = random.uniform(*SIDES, 2) * size / 2
    return (*(middle - half), *(middle + half))


def box_about(points: np.ndarray, size: int) -> Box:
    """The box about labelled points (K, 2), and a margin."""
    return (*(np.nanmin(points, 0) - MARGIN * size), *(np.nanmax(points, 0) + MARGIN * size))


def within(points: np.ndarray, box: Box) -> np.ndarray:
    """Which of points (L, 2) lie in a box: (L,) bool; False for NaN."""
    return ((points >= box[:2]) & (points <= box[2:])).all(-1)


def hide(image: np.ndarray, box: Box, random: np.random.Generator, stride: int = 1) -> np.ndarray:
    """A copy of image (H, W, 3) uint8 with a box, in crop pixels, in front: of one colour, with noise.

    stride: crop pixels a pixel of image.
    """
    hidden = image.copy()
    # Pixel u lies at stride * u + (stride - 1) / 2 of the crop.
    x0, y0, x1, y1 = (np.clip(round((value - (stride - 1) / 2) / stride), 0, image.shape[0]) for value in box)
    patch = hidden[y0 : y1 + 1, x0 : x1 + 1]
    cv2.add(
        np.broadcast_to(random.integers(0, 256, 3), patch.shape).astype(np.uint8),
        random.normal(0, 8, patch.shape).astype(np.int16),
        patch,
        dtype=cv2.CV_8U,
    )
    return hidden


class HiddenDataset(Dataset):
    """Samples of a StillDataset with a box each, in every second of them in front of the picture.

    hidden (L,) bool: which landmarks lie in it; masked (L,) bool: the same where the pixels are left as they are, else nothing.
    """

    def __init__(self, stills: StillDataset) -> None:
        self.stills = stills

    def __len__(self) -> int:
        return len(self.stills)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Tensor]:
        sample, stride = self.stills[key], self.stills.stride
        random = np.random.default_rng((self.stills.seed, *key, 1))
        points, image = sample["points"].numpy(), sample["images"].numpy()
        box = random_box(points, image.shape[0] * stride, random)
        hidden, in_front = torch.from_numpy(within(points, box)), random.random() < 0.5
        if in_front:
            sample["images"] = torch.from_numpy(hide(image, box, random, stride))
        return sample | {"hidden": hidden, "masked": hidden & (not in_front)}
