"""Things in front of the face: hands, phones, cups, bars, locks of hair; and glasses on it."""

from dataclasses import dataclass

import cv2
import numpy as np

from strrn.render.noise import BLOTCH, MOTTLE, NOISE_SIZE

SHIFT = 4  # OpenCV draws with 1/16 pixel precision
ONE = 1 << SHIFT


@dataclass(frozen=True)
class Occluder:
    """Polygons and strokes in units of the face's size around its own origin (y down). colour, second: (3,) linear RGB.

    polygons: arrays (N, 2); strokes: (start, end, width).
    """

    polygons: tuple[np.ndarray, ...]
    strokes: tuple[tuple[np.ndarray, np.ndarray, float], ...]
    colour: np.ndarray
    second: np.ndarray
    softness: float


def sample_occluder(rng: np.random.Generator, skin: np.ndarray, size: tuple[float, float]) -> Occluder:
    """A hand, phone, cup or bar. size: range of its width in face sizes."""
    wide = rng.uniform(*size)
    turn = rng.uniform(0, 2 * np.pi)
    rotate = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    colour = rng.uniform(0.02, 0.7) * rng.uniform(0.6, 1.2, 3)
    polygons, strokes = [], []
    match rng.choice(["hand", "box", "disc", "bar"], p=[0.4, 0.25, 0.15, 0.2]):
        case "hand":
            colour = skin * rng.uniform(0.35, 0.8)
            finger = wide / 4.6
            for number in range(4):
                start = np.array([(number - 1.5) * finger * 1.12, 0.0])
                reach = wide * rng.uniform(0.75, 1.1)
                strokes.append(
                    (start @ rotate.T, (start + np.array([rng.normal(0, 0.02), reach])) @ rotate.T, finger * rng.uniform(0.85, 1.0))
                )
            strokes.append((np.array([0.0, -0.1 * wide]) @ rotate.T, np.array([0.0, -2.6 * wide]) @ rotate.T, wide * 1.05))
        case "box":
            half = np.array([wide / 2, wide * rng.uniform(0.5, 1.1)])
            polygons.append((np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half) @ rotate.T)
        case "disc":
            angle = np.linspace(0, 2 * np.pi, 32, endpoint=False)
            polygons.append(np.stack([np.cos(angle), np.sin(angle) * rng.uniform(0.7, 1)], 1) * wide / 2)
        case "bar":
            strokes.append((np.array([-3.0, 0]) @ rotate.T, np.array([3.0, 0]) @ rotate.T, wide * rng.uniform(0.25, 0.6)))
    return Occluder(
        tuple(polygons), tuple(strokes), np.float32(colour), np.float32(colour * rng.uniform(0.4, 1.1)), float(rng.uniform(0.5, 1.6))
    )


def occluder_mask(occluder: Occluder, origin: np.ndarray, face: float, height: int, width: int) -> np.ndarray:
    """(height, width) float32 coverage in 0..1. origin: pixel (x, y); face: the face's size in pixels."""
    mask = np.zeros((height, width), np.uint8)
    for polygon in occluder.polygons:
        cv2.fillPoly(mask, [np.rint((polygon * face + origin) * ONE).astype(np.int32)], 255, cv2.LINE_AA, SHIFT)
    for start, end, thickness in occluder.strokes:
        first, last = (tuple(int(value) for value in np.rint((point * face + origin) * ONE)) for point in (start, end))
        cv2.line(mask, first, last, 255, max(1, round(thickness * face)), cv2.LINE_AA, SHIFT)
    return cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), occluder.softness)


def cover(light: np.ndarray, mask: np.ndarray, occluder: Occluder, brightness: float, along: np.ndarray, bank: np.ndarray) -> None:
    """Blend an occluder into linear RGB (H, W, 3) in place; it shades from one side to the other along
    the unit vector `along`. bank: noise, its surface."""
    rows, columns = np.flatnonzero(mask.max(1) > 0.004), np.flatnonzero(mask.max(0) > 0.004)
    if len(rows) == 0:
        return
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    part = mask[top:bottom, left:right, None]
    y, x = np.linspace(-1, 1, bottom - top)[:, None], np.linspace(-1, 1, right - left)[None, :]
    mix = np.clip(0.5 + 0.5 * (along[0] * x + along[1] * y), 0, 1).astype(np.float32)[..., None]
    colour = (occluder.colour * mix + occluder.second * (1 - mix)) * np.float32(brightness)
    # The surface is fixed to the thing, not to the frame: it is read from the corner of what is visible of it.
    rows_of_bank, columns_of_bank = np.arange(bottom - top) % NOISE_SIZE, np.arange(right - left) % NOISE_SIZE
    surface = bank[:, rows_of_bank[:, None], columns_of_bank[None, :]]
    colour = colour * (1 + np.float32(0.12) * surface[BLOTCH] + np.float32(0.06) * surface[MOTTLE])[..., None]
    region = light[top:bottom, left:right]
    region += part * (colour - region)


@dataclass(frozen=True)
class Glasses:
    """Frame outlines in the rest pose: (2, N, 3) rims, person's right first; bridge (3, 3); temples (2, 2, 3).

    width: dm. colour, lens: (3,) linear RGB; tint: 0..1, of the lenses. panes: (2, 4, 3) bright windows that the lenses mirror, reflection:
    0..1, how bright.
    """

    rims: np.ndarray
    bridge: np.ndarray
    temples: np.ndarray
    width: float
    colour: np.ndarray
    lens: np.ndarray
    tint: float
    panes: np.ndarray
    reflection: float


def sample_glasses(rng: np.random.Generator, sun: float, reflections: float) -> Glasses:
    """sun: probability of dark lenses; reflections: of a window that they mirror."""
    half_width, half_height = rng.uniform(0.2, 0.27), rng.uniform(0.13, 0.21)
    gap, power = rng.uniform(0.30, 0.335), 2 / rng.uniform(2, 5)
    angle = np.linspace(0, 2 * np.pi, 40)
    cosine, sine = np.cos(angle), np.sin(angle)
    x = gap + half_width * np.sign(cosine) * np.abs(cosine) ** power
    y = 7.32 + rng.uniform(-0.03, 0.02) + half_height * np.sign(sine) * np.abs(sine) ** power
    z = 1.53 + rng.uniform(0, 0.05) - 0.4 * np.abs(x) ** 2
    rims = np.stack([np.stack([-x, y, z], 1), np.stack([x, y, z], 1)])
    inner = gap - half_width
    bridge = np.array([[-inner, 7.35, 1.54], [0, 7.38, 1.58], [inner, 7.35, 1.54]])
    outer = gap + half_width
    temples = np.array([[[side * outer, 7.37, 1.53 - 0.4 * outer**2], [side * 0.76, 7.36, 0.6]] for side in (-1, 1)])
    dark = rng.random() < sun
    colour = rng.uniform(0.005, 0.05, 3) if rng.random() < 0.7 else rng.uniform(0.05, 0.5, 3)
    lens = rng.uniform(0.005, 0.05, 3) if dark else np.full(3, rng.uniform(0.4, 1.0))
    low, high = rng.uniform(-1.1, 0.3, 2), rng.uniform(0.25, 1.2, 2)
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * high + low + rng.normal(0, 0.12, (4, 2))
    centres = rims[:, :-1].mean(1)
    panes = centres[:, None] + np.concatenate([corners * [half_width, half_height], np.zeros((4, 1))], 1)[None]
    reflection = rng.uniform(0.1, 0.7) * float(rng.random() < reflections)
    return Glasses(rims, bridge, temples, rng.uniform(0.012, 0.04), np.float32(colour), np.float32(lens),
                   float(rng.uniform(0.75, 0.97) if dark else rng.uniform(0, 0.08)), panes, reflection)  # fmt: skip
