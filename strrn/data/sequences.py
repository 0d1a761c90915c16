"""Synthetic videos made of labelled stills, picture and truth in every frame: for what learns from how errors change with time.

A face goes from rest to rest as a whole, its parts give way smoothly, and light, blur, noise and things in front change as in a video.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

GRID = 4  # knots of the deformation along a side
REST = 0.3  # share of the stretches in which nothing moves
STRETCH = (5, 16)  # frames from rest to rest
PEAK = 1.875  # peak over mean speed of a minimum-jerk movement
OCCLUDER = (0.15, 0.6)  # its sides, crop sides
SLOWEST = 0.2  # a video's share of the largest motion, at least


@dataclass(frozen=True)
class SequenceParameters:
    """Largest values; a video draws its own up to them. speed: of the face, crop sides a frame; turn: degrees a frame; zoom: logarithm a
    frame; deform: how far parts give way, crop sides; light: change of the logarithm of the gain; blur: crop pixels; shutter: share of a
    frame in which a moving face is exposed; noise: grey levels; quality: [worst, best] JPEG quality of a frame; occlusion: share of videos
    in which something passes."""

    speed: float
    turn: float
    zoom: float
    deform: float
    light: float
    blur: float
    shutter: float
    noise: float
    quality: list[int]
    occlusion: float

    def __post_init__(self) -> None:
        for name in ("speed", "turn", "zoom", "deform", "light", "blur", "noise"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, found {getattr(self, name)}")
        for name in ("shutter", "occlusion"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in [0, 1], found {getattr(self, name)}")
        if len(self.quality) != 2 or not 1 <= self.quality[0] <= self.quality[1] <= 100:
            raise ValueError(f"quality: found {self.quality}, expected two JPEG qualities, the lower first")


def paths(random: np.random.Generator, num_frames: int, reach: np.ndarray) -> np.ndarray:
    """(T, N) smooth paths about 0, from rest to rest by minimum-jerk movements (Flash and Hogan 1985); each goes at most
    `reach` (N,) a frame."""
    values = np.zeros((num_frames, len(reach)))
    for number, limit in enumerate(reach):
        time, value = int(random.integers(-STRETCH[1], 0)), 0.0
        while time < num_frames:
            length = int(random.integers(*STRETCH))
            farthest = limit * length / PEAK
            step = 0.0 if random.random() < REST else np.clip(random.uniform(-1, 1) * farthest - 0.3 * value, -farthest, farthest)
            frames = np.arange(max(time, 0), min(time + length, num_frames))
            part = (frames - time) / length
            values[frames, number] = value + part**3 * (10 - 15 * part + 6 * part * part) * step
            time, value = time + length, value + step
    return values


def synthetic_video(
    image: np.ndarray, points: np.ndarray, num_frames: int, parameters: SequenceParameters, random: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """`num_frames` times (frame (S, S, 3) uint8, points (L, 2) float32) of a still's crop (S, S, 3) uint8 with
    points (L, 2); NaN stays NaN."""
    size = len(image)
    strength = np.exp(random.uniform(np.log(SLOWEST), 0.0))
    reach = np.array([parameters.speed * size] * 2 + [np.deg2rad(parameters.turn), parameters.zoom]) * strength
    whole = paths(random, num_frames, reach)
    whole[:, :2] = np.clip(whole[:, :2], -0.3 * size, 0.3 * size)
    whole[:, 2:] = np.clip(whole[:, 2:], -0.5, 0.5)
    amount = parameters.deform * size * random.uniform(0, 1)
    knots = paths(random, num_frames, np.full(2 * GRID * GRID, amount / 4)).clip(-amount, amount)
    knots = knots.reshape(num_frames, GRID, GRID, 2).astype(np.float32)
    look = _Look(random, num_frames, size, parameters)
    middle = (size - 1) / 2
    rows, columns = np.mgrid[:size, :size].astype(np.float32)
    for number in range(num_frames):
        x, y, angle, zoom = whole[number]
        a, b = np.exp(zoom) * np.cos(angle), np.exp(zoom) * np.sin(angle)
        linear, shift = np.array([[a, -b], [b, a]]), np.array([x, y]) + middle
        # A pixel of the frame shows the still at `inverse (frame) + field (frame)`; so a point lies where that is the point.
        field = cv2.resize(knots[number], (size, size), interpolation=cv2.INTER_CUBIC)
        inverse = np.linalg.inv(linear)
        fixed = shift - linear @ (middle, middle)
        source_x = inverse[0, 0] * (columns - fixed[0]) + inverse[0, 1] * (rows - fixed[1]) + field[..., 0]
        source_y = inverse[1, 0] * (columns - fixed[0]) + inverse[1, 1] * (rows - fixed[1]) + field[..., 1]
        frame = cv2.remap(
            image, source_x.astype(np.float32), source_y.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
        )
        yield look(frame, number, whole), _displaced(points, linear, fixed, field)


def _displaced(points: np.ndarray, linear: np.ndarray, fixed: np.ndarray, field: np.ndarray) -> np.ndarray:
    """Where the points (L, 2) of the still are in the frame: x = linear (p - field(x)) + fixed, by iteration (the field is smooth)."""
    known = np.isfinite(points).all(1)
    source = points[known].astype(np.float64)
    place = source @ linear.T + fixed
    for _ in range(6):
        at = place.astype(np.float32)[:, None]
        moved = cv2.remap(field, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[:, 0]
        place = (source - moved) @ linear.T + fixed
    result = np.full(points.shape, np.nan, np.float32)
    result[known] = place
    return result


class _Look:
    """What a video does to the pictures beside the motion: the same camera for all frames, other noise in each."""

    def __init__(self, random: np.random.Generator, num_frames: int, size: int, parameters: SequenceParameters) -> None:
        self.random, self.size = random, size
        self.gain = np.exp(paths(random, num_frames, np.full(3, parameters.light / 4)).clip(-1, 1) + random.normal() * parameters.light)
        self.blur = random.uniform(0, parameters.blur)
        self.shutter = random.uniform(0, parameters.shutter)
        self.noise = random.uniform(0, parameters.noise)
        self.quality = int(random.integers(parameters.quality[0], parameters.quality[1] + 1))
        self.occluder = None
        if random.random() < parameters.occlusion:
            box = (random.uniform(*OCCLUDER, 2) * size).astype(int) + 1
            colours = random.integers(0, 256, (3, 3, 3), dtype=np.uint8)
            texture = cv2.resize(colours, (int(box[0]), int(box[1])), interpolation=cv2.INTER_CUBIC)
            start, speed = random.uniform(0.0, 1.0, 2) * size, random.normal(0, 0.03, 2) * size
            self.occluder = (texture, start, speed)

    def __call__(self, frame: np.ndarray, number: int, whole: np.ndarray) -> np.ndarray:
        size = self.size
        if self.occluder is not None:
            texture, start, speed = self.occluder
            left, top = (start + speed * number).astype(int)
            x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + texture.shape[1], size), min(top + texture.shape[0], size)
            if x1 > x0 and y1 > y0:
                frame[y0:y1, x0:x1] = texture[y0 - top : y1 - top, x0 - left : x1 - left]
        step = self.shutter * (whole[min(number + 1, len(whole) - 1), :2] - whole[max(number - 1, 0), :2]) / 2
        length = float(np.hypot(*step))
        if length > 1.5:
            side = int(np.ceil(length)) | 1
            kernel = np.zeros((side, side), np.float32)
            centre = np.array([(side - 1) / 2] * 2)
            ends = [tuple(int(v) for v in np.round(centre + sign * step / 2)) for sign in (-1, 1)]
            cv2.line(kernel, *ends, 1.0)
            frame = cv2.filter2D(frame, -1, kernel / kernel.sum())
        if self.blur > 0.3:
            frame = cv2.GaussianBlur(frame, (0, 0), self.blur)
        table = np.clip(np.arange(256)[:, None] * self.gain[number], 0, 255).astype(np.uint8)
        frame = cv2.LUT(frame, table[:, None, :])
        if self.noise > 0.5:
            half = self.random.standard_normal((size // 2 + 1, size, 3), np.float32) * self.noise
            field = np.concatenate([half, -half[::-1]])[:size]
            frame = cv2.add(frame, field.astype(np.int16), dtype=cv2.CV_8U)
        coded = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, self.quality])[1]
        return cv2.imdecode(coded, cv2.IMREAD_UNCHANGED)
