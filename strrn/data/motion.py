"""Synthetic motion: where a shape might have been one frame earlier (METHODS: against the collapse of cycle consistency)."""

from dataclasses import dataclass

import numpy as np

from strrn.core.landmarks import LandmarkScheme


@dataclass(frozen=True)
class MotionParameters:
    """Standard deviations at full strength, in units of d: shift of the face, deform of each component, noise of each point; turn in
    degrees, zoom as a logarithm. A sample's strength is drawn log-uniformly from [slowest, 1]: most frames move little, some a lot."""

    shift: float
    turn: float
    zoom: float
    deform: float
    noise: float
    slowest: float

    def __post_init__(self) -> None:
        for name in ("shift", "turn", "zoom", "deform", "noise"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, found {getattr(self, name)}")
        if not 0 < self.slowest <= 1:
            raise ValueError(f"slowest must lie in (0, 1], found {self.slowest}")


def synthetic_motion(points: np.ndarray, scheme: LandmarkScheme, parameters: MotionParameters, random: np.random.Generator) -> np.ndarray:
    """A start shape for points (L, 2): the shape moved by a random similarity, every component deformed, every point jittered.

    NaN (unlabelled) points start at the mean of the others. Returns (L, 2) float32 in the unit of `points`.
    """
    points = np.where(np.isfinite(points), points, np.nanmean(points, 0))
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
