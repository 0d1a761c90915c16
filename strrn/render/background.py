"""What is behind a face: procedural only.

Overlapping shapes with sizes after a power law (the dead-leaves model of natural pictures), out of focus.
"""

import cv2
import numpy as np

from strrn.render.material import linear
from strrn.render.noise import BLOTCH, MOTTLE, NOISE_SIZE

SHRINK = 3  # backgrounds are out of focus, so they are made small


def sample_background(rng: np.random.Generator, height: int, width: int, bank: np.ndarray) -> np.ndarray:
    """(height, width, 3) float32, linear RGB."""
    small_height, small_width = -(-height // SHRINK), -(-width // SHRINK)
    base = rng.uniform(40, 215) * rng.uniform(0.85, 1.12, 3)
    picture = np.empty((small_height, small_width, 3), np.float32)
    picture[:] = np.clip(base, 5, 245)
    slope = rng.uniform(-0.35, 0.35, 2)
    ramp = 1 + slope[0] * np.linspace(-1, 1, small_width)[None, :] + slope[1] * np.linspace(-1, 1, small_height)[:, None]
    picture *= ramp[..., None].astype(np.float32)
    kind = rng.choice(["plain", "room", "leaves"], p=[0.25, 0.35, 0.4])
    match kind:
        case "room":
            _draw_room(rng, picture, base)
        case "leaves":
            _draw_leaves(rng, picture, base)
    x, y = rng.integers(0, NOISE_SIZE, 2)
    rows, columns = (np.arange(small_height) * SHRINK + y) % NOISE_SIZE, (np.arange(small_width) * SHRINK + x) % NOISE_SIZE
    texture = bank[rows[:, None], columns[None, :]]
    picture *= 1 + rng.uniform(0.02, 0.1) * texture[..., BLOTCH : BLOTCH + 1] + rng.uniform(0, 0.08) * texture[..., MOTTLE : MOTTLE + 1]
    picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 4.0))
    picture = linear(np.clip(picture, 2, 252))
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)


def _near(rng: np.random.Generator, base: np.ndarray, spread: float) -> tuple[float, float, float]:
    """A colour related to the base: darker, lighter, a little shifted."""
    colour = base * rng.uniform(0.35, 1.45) * rng.normal(1, spread, 3)
    return tuple(float(value) for value in np.clip(colour, 4, 248))


def _draw_room(rng: np.random.Generator, picture: np.ndarray, base: np.ndarray) -> None:
    """Upright rectangles: windows, shelves, doors, frames; now and then a bright one."""
    height, width = picture.shape[:2]
    for _ in range(rng.integers(3, 12)):
        size = rng.uniform(0.06, 0.6, 2) * [width, height]
        corner = rng.uniform(-0.2, 1.0, 2) * [width, height]
        first = tuple(int(value) for value in corner)
        last = tuple(int(value) for value in corner + size)
        colour = (245.0, 246.0, 248.0) if rng.random() < 0.08 else _near(rng, base, 0.15)
        cv2.rectangle(picture, first, last, colour, -1)
        if rng.random() < 0.5:
            cv2.rectangle(picture, first, last, _near(rng, base, 0.1), int(rng.integers(1, 4)))


def _draw_leaves(rng: np.random.Generator, picture: np.ndarray, base: np.ndarray) -> None:
    height, width = picture.shape[:2]
    spread = rng.uniform(0.05, 0.3)
    for _ in range(rng.integers(40, 160)):
        radius = min(3.0 / np.sqrt(rng.uniform(0.001, 1)), 0.4 * width)  # density of radii falls with their third power
        centre = rng.uniform(-0.1, 1.1, 2) * [width, height]
        axes = (max(1, int(radius)), max(1, int(radius * rng.uniform(0.3, 1))))
        colour = _near(rng, base, spread)
        cv2.ellipse(picture, (int(centre[0]), int(centre[1])), axes, float(rng.uniform(0, 180)), 0, 360, colour, -1)
