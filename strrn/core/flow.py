"""Where points of one crop went in the next, by the pixels around them."""

from dataclasses import dataclass

import cv2
import numpy as np

from strrn.core.geometry import CropTransform

WINDOW = 13  # pixels
LEVELS = 2  # of the pyramid, above the picture itself
STRIDE = 2  # crop pixels a pixel: as good as full resolution, in half the time
CRITERIA = (cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, 10, 0.01)


@dataclass(frozen=True)
class View:
    """A grey crop of a frame, (size // STRIDE, size // STRIDE) uint8, and how it was cut."""

    picture: np.ndarray
    transform: CropTransform


def grey_view(frame: np.ndarray, transform: CropTransform) -> View:
    return View(cv2.cvtColor(transform.crop(frame, STRIDE), cv2.COLOR_RGB2GRAY), transform)


def crop_flow(before: View, now: View, points_frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """points_frame (L, 2) of the frame before -> by how much their surroundings moved (L, 2), and the error (L,) of `point_flow`, both in
    crop pixels of `now`."""
    middle = (STRIDE - 1) / 2
    here = now.transform.to_crop(points_frame)
    moved, error = point_flow(
        before.picture, now.picture, (before.transform.to_crop(points_frame) - middle) / STRIDE, (here - middle) / STRIDE
    )
    return moved * STRIDE + middle - here, error * STRIDE


def point_flow(before: np.ndarray, image: np.ndarray, points_before: np.ndarray, guess: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pyramidal Lucas-Kanade (OpenCV): before, image (h, w) uint8; points_before, guess (N, 2) pixels of each -> points (N, 2) float32 in
    `image`, error (N,): how far from where it started the way back ends, in pixels.

    Source: Bouguet, Pyramidal Implementation of the Lucas Kanade Feature Tracker, 2001; forward-backward error: Kalal et al., ICPR 2010.
    """
    start = np.ascontiguousarray(points_before, np.float32)[:, None]
    points = _follow(before, image, start, np.ascontiguousarray(guess, np.float32)[:, None])
    back = _follow(image, before, points, start)
    return points[:, 0], np.linalg.norm(back[:, 0] - start[:, 0], axis=1).astype(np.float32)


def _follow(first: np.ndarray, second: np.ndarray, points: np.ndarray, guess: np.ndarray) -> np.ndarray:
    flags = cv2.OPTFLOW_USE_INITIAL_FLOW
    return cv2.calcOpticalFlowPyrLK(
        first, second, points, guess.copy(), winSize=(WINDOW, WINDOW), maxLevel=LEVELS, criteria=CRITERIA, flags=flags
    )[0]
