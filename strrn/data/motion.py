"""Synthetic motion: how a shape might move from frame to frame, for the tracker's training on stills (against the collapse of cycles)."""

from dataclasses import dataclass

import numpy as np

from strrn.core.geometry import fit_similarity
from strrn.core.landmarks import LandmarkScheme


@dataclass(frozen=True)
class MotionParameters:
    """Standard deviations at full strength, in units of d: shift of the face, deform of each component, noise of each point; turn in
    degrees, zoom as a logarithm. A frame's strength is drawn log-uniformly from [slowest, 1]: most frames move little, some a lot.
    length: frames of a synthetic video. interleaved: groups of videos that training steps take in turn."""

    shift: float
    turn: float
    zoom: float
    deform: float
    noise: float
    slowest: float
    length: int
    interleaved: int

    def __post_init__(self) -> None:
        for name in ("shift", "turn", "zoom", "deform", "noise"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, found {getattr(self, name)}")
        if not 0 < self.slowest <= 1:
            raise ValueError(f"slowest must lie in (0, 1], found {self.slowest}")
        if self.length < 1 or self.interleaved < 1:
            raise ValueError(f"length and interleaved must be at least 1, found {self.length} and {self.interleaved}")


class SyntheticMotion:
    """Draws the path of a face through a synthetic video of `length` frames that show the same view of a still."""

    def __init__(self, scheme: LandmarkScheme, reference_shape: np.ndarray, size: int, parameters: MotionParameters) -> None:
        self.scheme, self.reference_shape, self.size, self.parameters = scheme, np.asarray(reference_shape, np.float32), size, parameters

    def __call__(self, points: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """points (L, 2), NaN where not labelled -> start (L, 2) of the first frame, moves (length - 1, L, 2) between frames, float32.

        The start is the reference shape laid on the face, moved: it tells of the truth no more than a face detector would. A tracker that
        starts from the truth itself learns to stay, and later keeps every error that it has. Later frames start from the tracker's own
        answer plus a move.
        """
        known = np.isfinite(points).all(1)
        mean_face = fit_similarity(points[known], self.reference_shape[known], self.size).to_frame(self.reference_shape)
        full = np.where(known[:, None], points, mean_face)
        start = synthetic_motion(mean_face, self.scheme, self.parameters, random)
        moves = [synthetic_motion(full, self.scheme, self.parameters, random) - full for _ in range(self.parameters.length - 1)]
        return start, np.reshape(moves, (-1, *points.shape)).astype(np.float32)


def synthetic_motion(points: np.ndarray, scheme: LandmarkScheme, parameters: MotionParameters, random: np.random.Generator) -> np.ndarray:
    """points (L, 2) moved by a random similarity, every component deformed, every point jittered: (L, 2) float32 in the same unit."""
    d = float(scheme.distance(points))
    strength = np.exp(random.uniform(np.log(parameters.slowest), 0.0))
    angle = np.deg2rad(random.normal() * parameters.turn * strength)
    zoom = np.exp(random.normal() * parameters.zoom * strength)
    centre = points.mean(0)
    linear = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = (points - centre) @ linear.T + centre + random.normal(size=2) * parameters.shift * strength * d
    for members in scheme.components.values():
        index = list(members)
        middle = moved[index].mean(0)
        # A random affine map of the component about its middle: a mouth that opens, a brow that rises.
        affine = np.eye(2) + random.normal(size=(2, 2)) * parameters.deform * strength * np.array([[2.0, 1.0], [1.0, 4.0]])
        offset = random.normal(size=2) * parameters.deform * strength * d
        moved[index] = (moved[index] - middle) @ affine.T + middle + offset
    return (moved + random.normal(size=moved.shape) * parameters.noise * strength * d).astype(np.float32)
