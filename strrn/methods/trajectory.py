"""Labels from both sides of time, for frames in which detector and tracker fail (not in the paper).

What passes the check of Algorithm 1 the models know already. A frame that fails it, since something is in front or moves too fast, has
neighbours before and after it in which the face was seen. A face is a shape that changes slowly, and a similarity that places it in the
picture: the shape is carried over from the neighbours, and placed by those points that agree with it.
"""

from dataclasses import dataclass

import numpy as np

from strrn.core.geometry import fit_similarities, similar

ITERATIONS = 8
PLACED_AFTER = 2  # iterations before neighbours help to place a face: until then the weights know little
SURE = 10.0  # how much more a point of a frame that passed the check weighs
LEAST_EXPECTED = 0.005  # d; no point is surer than that


@dataclass(frozen=True)
class TrajectoryParameters:
    """shape_frames, motion_frames: standard deviations in time, in frames, within which neighbours speak for a frame's shape and its place.
    deviation: from the shape, in units of d, at which half of a point's weight is gone. min_support: mean weight that is left of a
    frame's points below which it stays dropped; so does a track of which no frame passed the check."""

    shape_frames: float
    motion_frames: float
    deviation: float
    min_support: float

    def __post_init__(self) -> None:
        for name in ("shape_frames", "motion_frames", "deviation"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, found {getattr(self, name)}")
        if not 0 <= self.min_support <= 1:
            raise ValueError(f"min_support lies in [0, 1], found {self.min_support}")


def follow(
    seen: np.ndarray,
    expected: np.ndarray,
    trusted: np.ndarray,
    frames: np.ndarray,
    distance: float,
    parameters: TrajectoryParameters,
) -> tuple[np.ndarray, np.ndarray]:
    """(T, L, 2) points of a track of T frames from all that was seen of it, and (T,) the share of its points' weight that agrees.

    seen: (T, L, 2) in pixels of the video; expected: (T, L) errors in units of d that the detector expects; trusted: (T,) bool, frames that
    passed the check; frames: (T,) their numbers; distance: d in pixels.
    A point keeps what was seen of it as far as that agrees with the shape, and else is where shape and place say.
    """
    apart = (frames[:, None] - frames[None]).astype(float)
    of_shape, of_motion = (np.exp(-0.5 * (apart / reach) ** 2) for reach in (parameters.shape_frames, parameters.motion_frames))
    sure = np.where(trusted, SURE, 1.0)
    prior = sure[:, None] / (expected + LEAST_EXPECTED) ** 2
    best = seen[np.argmax(prior.mean(1))]
    shapes = np.repeat((best - best.mean(0))[None], len(seen), 0)
    agreement = np.ones_like(expected)
    for iteration in range(ITERATIONS):
        places = fit_similarities(shapes, seen, prior * agreement)
        if iteration >= PLACED_AFTER:
            support = agreement.mean(1) ** 3
            places = support[:, None] * places + (1 - support)[:, None] * local_quadratic(places, apart, of_motion * sure * support)
        brought_back = to_shape(seen, places)
        if iteration:
            agreement = _agreement(brought_back, shapes, parameters.deviation * distance)
        weights = prior * agreement
        shapes = np.einsum("ts,sl,slk->tlk", of_shape, weights, brought_back) / (of_shape @ weights)[..., None]
    agreement = _agreement(brought_back, shapes, parameters.deviation * distance)
    return agreement[..., None] * seen + (1 - agreement[..., None]) * similar(shapes, places), agreement.mean(1)


def _agreement(points: np.ndarray, shapes: np.ndarray, half: float) -> np.ndarray:
    """(T, L) in (0, 1]: 1 for points (T, L, 2) that lie where the shapes have them, a half at a distance of `half`."""
    return 1 / (1 + (np.linalg.norm(points - shapes, axis=-1) / half) ** 2)


def to_shape(points: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The inverse of `similar`."""
    a, b = places[:, 0, None], places[:, 1, None]
    x, y = np.moveaxis(points - places[:, None, 2:], -1, 0)
    return np.stack([a * x + b * y, a * y - b * x], -1) / (a**2 + b**2)[..., None]


def local_quadratic(values: np.ndarray, apart: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Values (T, D) as a parabola through their neighbours has them: for every t one in time, fitted with row t of weights (T, T).

    apart: (T, T) frames from column to row.
    """
    powers = np.stack([np.ones_like(apart), apart, apart**2], -1)  # (T, T, 3)
    weighted = powers * (weights + 1e-9)[..., None]
    normal = np.einsum("tsi,tsj->tij", powers, weighted)
    normal += 1e-6 * weights.sum(1)[:, None, None] * np.eye(3) + 1e-12 * np.eye(3)
    return np.linalg.solve(normal, np.einsum("tsi,sd->tid", weighted, values))[:, 0]
