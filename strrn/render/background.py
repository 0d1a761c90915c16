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
    picture *= (1 + rng.uniform(0.02, 0.1) * texture[..., BLOTCH] + rng.uniform(0, 0.08) * texture[..., MOTTLE])[..., None]
    picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 4.0))
    picture = linear(np.clip(picture, 2, 252))
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)


def _near(rng: np.random.Generator, base: np.ndarray, spread: float, count: int) -> list[tuple[float, ...]]:
    """Colours related to the base: darker, lighter, a little shifted."""
    colours = base * rng.uniform(0.35, 1.45, (count, 1)) * rng.normal(1, spread, (count, 3))
    return [tuple(colour) for colour in np.clip(colours, 4, 248).tolist()]


def _draw_room(rng: np.random.Generator, picture: np.ndarray, base: np.ndarray) -> None:
    """Upright rectangles: windows, shelves, doors, frames; now and then a bright one."""
    size = picture.shape[1::-1]
    count = int(rng.integers(3, 12))
    first = rng.uniform(-0.2, 1.0, (count, 2)) * size
    corners = np.concatenate([first, first + rng.uniform(0.06, 0.6, (count, 2)) * size], 1).astype(int).tolist()
    fills, frames, widths = _near(rng, base, 0.15, count), _near(rng, base, 0.1, count), rng.integers(1, 4, count).tolist()
    bright, framed = rng.random(count) < 0.08, rng.random(count) < 0.5
    for number, (x0, y0, x1, y1) in enumerate(corners):
        cv2.rectangle(picture, (x0, y0), (x1, y1), (245.0, 246.0, 248.0) if bright[number] else fills[number], -1)
        if framed[number]:
            cv2.rectangle(picture, (x0, y0), (x1, y1), frames[number], widths[number])


def _draw_leaves(rng: np.random.Generator, picture: np.ndarray, base: np.ndarray) -> None:
    height, width = picture.shape[:2]
    count = int(rng.integers(40, 160))
    colours = _near(rng, base, rng.uniform(0.05, 0.3), count)
    radii = np.minimum(3.0 / np.sqrt(rng.uniform(0.001, 1, count)), 0.4 * width)  # density of radii falls with their third power
    axes = np.maximum(np.stack([radii, radii * rng.uniform(0.3, 1, count)], 1), 1).astype(int).tolist()
    centres = (rng.uniform(-0.1, 1.1, (count, 2)) * [width, height]).astype(int).tolist()
    for centre, axis, angle, colour in zip(centres, axes, rng.uniform(0, 180, count).tolist(), colours, strict=True):
        cv2.ellipse(picture, centre, axis, angle, 0, 360, colour, -1)
