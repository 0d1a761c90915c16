"""Filters that BRF is measured against: they make a track calm without looking at pictures, and late.

Points are (T, L, 2), NaN in frames without a face, where every filter begins anew.
"""

from collections.abc import Callable

import numpy as np

from strrn.core.geometry import fit_similarity

Filter = Callable[[np.ndarray], np.ndarray]


def exponential_average(points: np.ndarray, share: float) -> np.ndarray:
    """Every frame's points are `share` of what is seen and the rest of what was given before; 1 changes nothing."""

    def step(seen: np.ndarray, before: np.ndarray) -> np.ndarray:
        return before + share * (seen - before)

    return _run(points, step)


def face_average(points: np.ndarray, share: float) -> np.ndarray:
    """The exponential average of the shape only: what was given before is first carried to the seen points by a similarity, so that the
    motion of the face as a whole is not delayed. What BRF's head has beyond this is what it learned."""

    def step(seen: np.ndarray, before: np.ndarray) -> np.ndarray:
        carried = fit_similarity(before, seen, 1).to_crop(before)
        return carried + share * (seen - carried)

    return _run(points, step)


def one_euro(points: np.ndarray, distance: np.ndarray, fps: float, min_cutoff: float, beta: float) -> np.ndarray:
    """The 1-euro filter (Casiez et al., CHI 2012) of every coordinate: a low-pass filter whose cutoff grows with the speed.

    distance (T,): d of the predicted faces, in which speed is measured. min_cutoff in Hz; beta in Hz for one d a second.
    """
    speed_share = _share(1.0, fps)  # of the speed's own low-pass filter, at 1 Hz as in the paper
    unit = float(np.nanmedian(distance)) if np.isfinite(distance).any() else 1.0
    speed = np.zeros(points.shape[1:])
    last = np.zeros(points.shape[1:])

    def step(seen: np.ndarray, before: np.ndarray) -> np.ndarray:
        nonlocal speed, last
        speed = speed + speed_share * ((seen - last) * fps / unit - speed)
        last = seen
        return before + _share(min_cutoff + beta * np.abs(speed), fps) * (seen - before)

    def begin(seen: np.ndarray) -> None:
        nonlocal speed, last
        speed, last = np.zeros(points.shape[1:]), seen

    return _run(points, step, begin)


def _share(cutoff: float | np.ndarray, fps: float) -> float | np.ndarray:
    """Of the new value in a first-order low-pass filter with this cutoff (Hz)."""
    return 1 / (1 + fps / (2 * np.pi * cutoff))


def _run(
    points: np.ndarray, step: Callable[[np.ndarray, np.ndarray], np.ndarray], begin: Callable[[np.ndarray], None] = lambda seen: None
) -> np.ndarray:
    result = np.asarray(points, np.float64).copy()
    present = np.isfinite(result).all((1, 2))
    for t in range(len(result)):
        if present[t] and t and present[t - 1]:
            result[t] = step(np.asarray(points[t], np.float64), result[t - 1])
        elif present[t]:
            begin(result[t])
    return result.astype(np.float32)
