"""How a head moves in front of a camera: rest, turns with a smooth start and end, speech, blinks, glances.

Everything is a function of continuous time in frames, so that a shutter may open between two frames.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from strrn.render.expression import MOUTH_SHAPES, Expression, add_gaze, both, has_sides


class Degree(IntEnum):
    """Columns of a movement: angles in radians, shifts in face widths, log of the size."""

    yaw = 0
    pitch = 1
    roll = 2
    x = 3
    y = 4
    size = 5


# Reach of each degree about its rest position, and how many face widths the face moves for one unit of it.
REACH = np.array([0.42, 0.22, 0.22, 0.45, 0.22, 0.12])
WIDTHS_PER_UNIT = np.array([0.55, 0.5, 0.3, 1.0, 1.0, 0.35])
PEAK = 1.875  # peak over mean speed of a minimum-jerk movement (Flash and Hogan 1985)
SWAY = 0.0012  # face widths; a head that rests still sways a little
BLINK = (2.2, 3.2)  # frames at 25 a second to close and to open


@dataclass(frozen=True)
class Movement:
    """Key frames with rests between them: times (K,), values (K, 6); sway: phases and frequencies (6, 3, 2)."""

    times: np.ndarray
    values: np.ndarray
    sway: np.ndarray

    def at(self, time: float) -> np.ndarray:
        """(6,) at a time in frames, before the first and after the last key frame as there."""
        number = int(np.clip(np.searchsorted(self.times, time, side="right") - 1, 0, len(self.times) - 2))
        part = np.clip((time - self.times[number]) / (self.times[number + 1] - self.times[number]), 0, 1)
        eased = part**3 * (10 - 15 * part + 6 * part * part)
        value = self.values[number] + eased * (self.values[number + 1] - self.values[number])
        trembling = np.sin(self.sway[..., 0] + self.sway[..., 1] * time).sum(1) * SWAY
        return value + trembling / WIDTHS_PER_UNIT


def sample_movement(rng: np.random.Generator, num_frames: int, speed: float, yaw_limit: float) -> Movement:
    """Rests and moves over num_frames frames. speed: peak of the face's speed in a move, face widths a frame. yaw_limit: radians."""
    reach = REACH.copy()
    reach[Degree.yaw] = min(reach[Degree.yaw], yaw_limit)
    times, values = [-8.0], [rng.uniform(-0.5, 0.5, 6) * reach]
    while times[-1] < num_frames + 8:
        if rng.random() < 0.3:
            times.append(times[-1] + rng.uniform(4, 16))
            values.append(values[-1])
        target = rng.uniform(-1, 1, 6) * reach * (rng.random(6) < (0.75, 0.5, 0.5, 0.6, 0.5, 0.5))
        length = np.linalg.norm((target - values[-1]) * WIDTHS_PER_UNIT)
        duration = PEAK * length / max(speed * rng.uniform(0.5, 1.0), 1e-4)
        times.append(times[-1] + max(duration, 5.0))
        values.append(target)
    sway = np.stack([rng.uniform(0, 2 * np.pi, (6, 3)), rng.uniform(0.1, 0.5, (6, 3))], -1)
    return Movement(np.array(times), np.stack(values), sway)


@dataclass(frozen=True)
class Acting:
    """A face over time: a track of unit weights and gaze at whole frames, linear between them. weights: (T, U); gaze: (T, 2)."""

    names: tuple[str, ...]
    weights: np.ndarray
    gaze: np.ndarray

    def at(self, time: float) -> Expression:
        low = int(np.clip(np.floor(time), 0, len(self.weights) - 2))
        part = float(np.clip(time - low, 0, 1))
        values = (1 - part) * self.weights[low] + part * self.weights[low + 1]
        side, up = (1 - part) * self.gaze[low] + part * self.gaze[low + 1]
        weights = {name: float(value) for name, value in zip(self.names, values, strict=True) if value > 1e-4}
        add_gaze(weights, (side, up))
        return Expression(weights, (float(side), float(up)))


def sample_acting(rng: np.random.Generator, num_frames: int, fps: float, strength: float) -> Acting:
    """Speech in bouts, a smile that comes and goes, brows, blinks every few seconds, glances."""
    time = np.arange(num_frames + 1)
    tracks: dict[str, np.ndarray] = {}

    def add(unit: str, values: np.ndarray) -> None:
        names = (f"{unit}Left", f"{unit}Right") if has_sides(unit) else (unit,)
        for name in names:
            share = rng.uniform(0.85, 1.0) if len(names) == 2 else 1.0
            tracks[name] = np.maximum(tracks.get(name, 0.0), np.clip(values * share, 0, 1))

    talking = _bumps(rng, time, every=2.2 * fps, width=0.9 * fps) * (rng.random() < 0.8)
    opening = np.clip(_wave(rng, time, fps / rng.uniform(2.5, 4.5)) * 0.5 + 0.35, 0, 1)
    add("jawOpen", talking * opening * rng.uniform(0.2, 0.55) * strength)
    for unit in rng.choice(MOUTH_SHAPES, 3, replace=False):
        add(unit, talking * np.clip(_wave(rng, time, fps / rng.uniform(1.2, 3.0)), 0, 1) * rng.uniform(0.15, 0.5) * strength)
    smiling = _bumps(rng, time, every=3 * fps, width=0.8 * fps) * rng.uniform(0.1, 0.8) * strength
    add("mouthSmile", smiling)
    add("cheekSquint", smiling * 0.6)
    add("mouthUpperUp", smiling * rng.uniform(0, 0.5))
    for unit in ("browInnerUp", "browOuterUp", "browDown"):
        add(unit, _bumps(rng, time, every=4 * fps, width=0.5 * fps) * rng.uniform(0, 0.7) * (rng.random() < 0.5) * strength)
    blink, at = np.full(num_frames + 1, rng.uniform(0, 0.08)), rng.uniform(0, 2.5) * fps
    close, reopen = (length * fps / 25 for length in BLINK)
    while at < num_frames + 1:
        blink = np.maximum(blink, np.clip(np.minimum(1 + (time - at) / close, 1 - (time - at) / reopen) * 1.25, 0, 1))
        at += rng.uniform(1.2, 5) * fps
    both_lids: dict[str, float] = {}
    both(both_lids, "eyeBlink", 1.0)
    for name in both_lids:
        tracks[name] = blink
    gaze, looking, until = np.zeros((num_frames + 1, 2)), rng.normal(0, (0.15, 0.07)), 0.0
    for frame in range(num_frames + 1):
        if frame >= until:
            looking, until = rng.normal(0, (0.18, 0.08)), frame + rng.uniform(0.4, 2.5) * fps
        gaze[frame] = np.clip(looking, (-0.5, -0.3), (0.5, 0.3))
    return Acting(tuple(tracks), np.stack(list(tracks.values()), 1), gaze)


def _wave(rng: np.random.Generator, time: np.ndarray, period: float) -> np.ndarray:
    """Irregular oscillation of unit size with about the given period in frames."""
    total = np.zeros(len(time))
    for factor in (0.7, 1.0, 1.45):
        total += np.sin(2 * np.pi * time / (period * factor) + rng.uniform(0, 2 * np.pi))
    return total / 2


def _bumps(rng: np.random.Generator, time: np.ndarray, every: float, width: float) -> np.ndarray:
    """0..1: rises and falls smoothly, at random times on average every `every` frames, for about `width` frames."""
    total, at = np.zeros(len(time)), rng.uniform(-width, every)
    while at < time[-1] + width:
        total = np.maximum(total, np.exp(-0.5 * ((time - at) / (width * rng.uniform(0.6, 1.4))) ** 4))
        at += rng.exponential(every) + width
    return total


@dataclass(frozen=True)
class Passing:
    """A thing that crosses: start and end in face sizes from the face's middle, first and last time in frames."""

    start: np.ndarray
    end: np.ndarray
    first: float
    last: float

    def at(self, time: float) -> np.ndarray | None:
        """Where it is (2,), or None while it is out of the picture."""
        part = (time - self.first) / (self.last - self.first)
        return None if not 0 <= part <= 1 else self.start + part * (self.end - self.start)


def sample_passing(rng: np.random.Generator, num_frames: int) -> Passing:
    """Across the face and away again within a second or two."""
    angle = rng.uniform(0, 2 * np.pi)
    direction = np.array([np.cos(angle), np.sin(angle)])
    offset = np.array([-direction[1], direction[0]]) * rng.uniform(-0.3, 0.3)
    duration = min(rng.uniform(18, 45), max(num_frames - 2, 3))
    first = rng.uniform(0, max(num_frames - duration, 1e-3))
    return Passing(offset - 1.6 * direction, offset + 1.6 * direction, first, first + duration)
