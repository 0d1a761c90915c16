"""Smoothing with little lag: of points by how sure the detector is of each, and of the face as a whole while it hardly moves."""

import numpy as np

from strrn.core.confidence import expected_error
from strrn.core.geometry import fit_similarities, similar


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
        as_a_whole = fit_similarities(before[None], seen[None], 1 / (expected[None] + 1e-4))
        predicted = similar(before[None], as_a_whole)[0]
        return (predicted + gain[:, None] * (seen - predicted)).astype(np.float32)


class PoseFilter:
    """An alpha-beta filter of where one face is (centre, logarithm of the size, angle), whose gain grows with what it did not predict.

    A face is predicted to go on as it went. What it does otherwise is followed by half where that is small, as noise is, and the more the
    larger it is; so a face at rest is calm, one that moves evenly is not late, and one that starts to move is hardly so. The shape is
    left as it is, and nothing that is filtered goes back into the tracking.

    strength: what was not predicted, in units of d (radians; logarithm of a ratio), that is followed by three quarters; 0 = no filter.
    """

    LEAST_GAIN = 0.5
    OF_SPEED = 0.4  # share of what is followed that the speed takes up
    LEAST_TIME = 0.1  # in twenty-fifths of a second: frames with one timestamp tell no speed

    def __init__(self, strength: float) -> None:
        self.strength = strength
        self._shape: np.ndarray | None = None

    def __call__(self, points: np.ndarray, distance: float, elapsed: float = 1.0) -> np.ndarray:
        """points (L, 2) of the next frame and d, both in pixels of the frame; elapsed: in twenty-fifths of a second -> (L, 2) float32."""
        if self.strength == 0 or not np.isfinite(points).all():
            return points
        if self._shape is None:
            self._shape = points - points.mean(0, dtype=np.float64)
            self._pose, self._speed = self._seen(points), np.zeros(4)
            return points
        seen, predicted = self._seen(points), self._pose + elapsed * self._speed
        away = seen - predicted
        away[3] = np.remainder(away[3] + np.pi, 2 * np.pi) - np.pi
        moved = np.array([np.hypot(away[0], away[1]) / distance] * 2 + [abs(away[2]), abs(away[3])])
        gain = self.LEAST_GAIN + (1 - self.LEAST_GAIN) * moved**2 / (moved**2 + self.strength**2)
        self._pose = predicted + gain * away
        self._speed = self._speed + self.OF_SPEED * gain * away / max(elapsed, self.LEAST_TIME)
        back = (gain - 1) * away  # from where the face was seen to where it is given
        growth, turn = np.exp(back[2]), np.array([[np.cos(back[3]), np.sin(back[3])], [-np.sin(back[3]), np.cos(back[3])]])
        return ((points - seen[:2]) @ (growth * turn) + seen[:2] + back[:2]).astype(np.float32)

    def _seen(self, points: np.ndarray) -> np.ndarray:
        """(4,): centre, and logarithm of the size and angle against the first frame's shape."""
        centre = points.mean(0, dtype=np.float64)
        (x, y), (own_x, own_y) = (points - centre).T, self._shape.T
        along, across = (own_x * x + own_y * y).sum(), (own_x * y - own_y * x).sum()
        size = np.log(np.hypot(along, across) / (own_x**2 + own_y**2).sum())
        return np.array([*centre, size, np.arctan2(across, along)])
