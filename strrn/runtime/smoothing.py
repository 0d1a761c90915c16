"""Smoothing without lag: a point that the detector is sure of moves freely, one that it is not sure of goes with the face."""

import numpy as np

from strrn.core.confidence import expected_error


class Smoother:
    """A Kalman filter of every point of one face, about the motion of the face as a whole.

    Predicted is the shape of the frame before, carried by the similarity that fits it to the new points, sure ones more than unsure ones;
    what a face does as a whole is therefore never delayed. From there every point goes towards where it was seen by the gain V / (V + s^2):
    s is the error that the detector expects of it, V the variance of the point so far plus `strength` squared for every twenty-fifth of
    a second, in which an expression may change.

    strength: in units of d, 0 = no smoothing. distance: d in pixels of the crop.
    """

    def __init__(self, strength: float, distance: float) -> None:
        self.strength, self.distance = strength, distance
        self._variance: np.ndarray | None = None

    def __call__(self, before: np.ndarray, seen: np.ndarray, confidence: np.ndarray, elapsed: float = 1.0) -> np.ndarray:
        """before, seen: (L, 2) in pixels of one crop; confidence (L,); elapsed: in twenty-fifths of a second -> (L, 2) float32."""
        if self.strength == 0 or not np.isfinite(seen).all():
            return seen
        expected = expected_error(confidence) ** 2
        variance = expected if self._variance is None else self._variance
        variance = variance + self.strength**2 * elapsed
        gain = variance / (variance + expected)
        self._variance = (1 - gain) * variance
        predicted = _carried(before, seen, 1 / (expected + 1e-4))
        return (predicted + gain[:, None] * (seen - predicted)).astype(np.float32)


def _carried(before: np.ndarray, seen: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """`before` under the similarity that takes it to `seen` with the least weighted squared error."""
    weights = (weights / weights.sum())[:, None]
    middle, target = (weights * before).sum(0), (weights * seen).sum(0)
    shape, goal = before - middle, seen - target
    norm = (weights * shape**2).sum()
    a = (weights * shape * goal).sum() / norm
    b = (weights[:, 0] * (shape[:, 0] * goal[:, 1] - shape[:, 1] * goal[:, 0])).sum() / norm
    return shape @ np.array([[a, b], [-b, a]]) + target
