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
        faces = np.stack([mean_face] + [full] * (self.parameters.length - 1))
        moved = synthetic_motion(faces, self.scheme, self.parameters, random)
        return moved[0], moved[1:] - full.astype(np.float32)


def synthetic_motion(points: np.ndarray, scheme: LandmarkScheme, parameters: MotionParameters, random: np.random.Generator) -> np.ndarray:
    """points (F, L, 2) moved by a random similarity, every component deformed, every point jittered: (F, L, 2) float32 in the same unit."""
    count = len(points)
    d = scheme.distance(points)
    strength = np.exp(random.uniform(np.log(parameters.slowest), 0.0, count))
    angle = np.deg2rad(random.normal(size=count) * parameters.turn * strength)
    zoom = np.exp(random.normal(size=count) * parameters.zoom * strength)
    a, b = zoom * np.cos(angle), zoom * np.sin(angle)
    linear_transposed = np.stack([a, b, -b, a], -1).reshape(-1, 2, 2)
    strength, reach = strength[:, None, None], (strength * d)[:, None, None]
    centre = points.mean(1, keepdims=True)
    moved = (points - centre) @ linear_transposed + centre + random.normal(size=(count, 1, 2)) * parameters.shift * reach
    for members in scheme.components.values():
        index = list(members)
        component = moved[:, index]
        middle = component.mean(1, keepdims=True)
        # A random affine map of the component about its middle: a mouth that opens, a brow that rises.
        change = random.normal(size=(count, 2, 2)) * parameters.deform * strength * np.array([[2.0, 1.0], [1.0, 4.0]])
        offset = random.normal(size=(count, 1, 2)) * parameters.deform * reach
        moved[:, index] = component + (component - middle) @ change.transpose(0, 2, 1) + offset
    return (moved + random.normal(size=moved.shape) * parameters.noise * reach).astype(np.float32)
