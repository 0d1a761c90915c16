"""Things in front of the face: hands, phones, cups, microphones, bars; and glasses on it."""

from dataclasses import dataclass

import cv2
import numpy as np

from strrn.render import noise
from strrn.render.compiled import njit_inlining
from strrn.render.light import Lights
from strrn.render.noise import BLOTCH, MOTTLE, noise_at

SHIFT = 4  # OpenCV draws with 1/16 pixel precision
ONE = 1 << SHIFT
FINGERS = 0.86, 1.0, 0.95, 0.74  # lengths against the longest: index to little finger
PHALANGES = 0.45, 0.3, 0.25
PALM = 0.4, 0.75  # range of a palm's width in face sizes: from a child's to one that is held out to the camera


@dataclass(frozen=True)
class Occluder:
    """Around its own origin, in units of the face's size (y down). polygon: (N, 2), flat, may be empty; colour: (3,) linear RGB of it.

    capsules: (K, 7) x, y, radius at the start, the same at the end, height towards the camera: round things, the highest of them is seen.
    colours: (K, 3). softness: pixels by which it is out of focus.
    """

    polygon: np.ndarray
    colour: np.ndarray
    capsules: np.ndarray
    colours: np.ndarray
    softness: float


def sample_occluder(rng: np.random.Generator, skin: np.ndarray, size: tuple[float, float], hands: float) -> Occluder:
    """size: range of its width in face sizes, of anything but a hand. hands: probability of a hand, with the skin's linear RGB (3,)."""
    wide = rng.uniform(*size)
    colour = np.float32(rng.uniform(0.02, 0.7) * rng.uniform(0.6, 1.2, 3))
    second = np.float32(colour * rng.uniform(0.3, 1.1))
    polygon, capsules, colours = np.zeros((0, 2)), np.zeros((0, 7)), np.zeros((0, 3))
    softness = float(rng.uniform(0.4, 1.4))
    if rng.random() < hands:
        sleeve = colour if rng.random() < 0.6 else skin
        capsules, colours = _sample_hand(rng, rng.uniform(*PALM), np.asarray(skin) * rng.uniform(0.75, 1.05), sleeve)
    else:
        match rng.choice(["box", "disc", "bar", "microphone"], p=[0.4, 0.2, 0.2, 0.2]):
            case "box":
                half = np.array([wide / 2, wide * rng.uniform(0.5, 1.1)])
                polygon = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
            case "disc":
                angle = np.linspace(0, 2 * np.pi, 32, endpoint=False)
                polygon = np.stack([np.cos(angle), np.sin(angle) * rng.uniform(0.7, 1)], 1) * wide / 2
            case "bar":
                thick = wide * rng.uniform(0.12, 0.3)
                capsules, colours = np.array([[-3.0, 0, thick, 3.0, 0, thick, 0]]), second[None]
            case "microphone":
                thick = wide * rng.uniform(0.15, 0.3)
                capsules = np.array([[0, 0, thick, 0, 0.1, thick, 0.02], [0, thick, 0.6 * thick, 0, 2.5, 0.45 * thick, 0]])
                colours = np.stack([colour, second])
        turn = rng.uniform(0, 2 * np.pi)
        polygon, capsules = _turned(polygon, capsules, turn)
    return Occluder(polygon, colour, np.float64(capsules), np.float64(colours), softness)


def _turned(polygon: np.ndarray, capsules: np.ndarray, turn: float) -> tuple[np.ndarray, np.ndarray]:
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    capsules = capsules.copy()
    for start in (0, 3):
        capsules[:, start : start + 2] = capsules[:, start : start + 2] @ rotation
    return polygon @ rotation, capsules


def _sample_hand(rng: np.random.Generator, wide: float, skin: np.ndarray, sleeve: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Capsules (K, 7) and colours (K, 3) of a hand whose palm is `wide`: open, pointing or closed; the arm comes from below."""
    parts: list[tuple[float, ...]] = []
    colours: list[np.ndarray] = []

    def add(start: np.ndarray, radius: float, end: np.ndarray, end_radius: float, height: float, colour: np.ndarray) -> None:
        parts.append((*start, radius, *end, end_radius, height))
        colours.append(colour)

    thick = wide * 0.125
    nails = np.minimum(skin * [1.15, 1.05, 1.1] + 0.03, 0.95) if rng.random() < 0.5 else None  # the back of the hand is seen
    closed = rng.choice([0.0, 0.25, 1.0], p=[0.5, 0.3, 0.2])
    curls = np.clip(closed + rng.normal(0, 0.12, 4), 0, 0.85)
    if rng.random() < 0.2:
        curls = np.array([0.0, *rng.uniform(0.6, 0.85, 3)])
    spread = rng.uniform(0.0, 0.22)
    wrist = np.array([0.0, 1.05 * wide])
    for number, (share, curl) in enumerate(zip(FINGERS, curls, strict=True)):
        knuckle = np.array([(number - 1.5) * 0.25 * wide, 0.06 * wide * (number - 1.2) ** 2 / 2])
        add(wrist + [(number - 1.5) * 0.13 * wide, 0], 1.25 * thick, knuckle, 1.1 * thick, 0.0, skin)
        angle = (number - 1.5) * spread + rng.normal(0, 0.04)
        length, at, bend = share * wide * (1 - 0.75 * curl), knuckle, rng.normal(0, 0.06)
        for joint, phalanx in enumerate(PHALANGES):
            radius = thick * (1.0 - 0.1 * joint)
            end = at + length * phalanx * np.array([np.sin(angle), -np.cos(angle)])
            add(at, radius, end, 0.93 * radius, thick * (0.1 + 0.5 * curl), skin)
            at, angle = end, angle + bend
        if nails is not None and curl < 0.5:
            tip = np.array([np.sin(angle), -np.cos(angle)]) * thick
            add(at - 0.2 * tip, 0.45 * thick, at + 0.35 * tip, 0.4 * thick, thick, nails)
    out = rng.uniform(0.25, 1.0)
    joint = np.array([-0.62, 0.35]) * wide + rng.normal(0, 0.03, 2) * wide
    thumb = joint + 0.45 * wide * np.array([-np.sin(out), -np.cos(out)])
    add(wrist + [-0.25 * wide, -0.15 * wide], 1.5 * thick, joint, 1.25 * thick, 0.0, skin)
    add(joint, 1.2 * thick, thumb, 1.0 * thick, 0.5 * thick, skin)
    arm = wrist + np.array([rng.normal(0, 0.6), 6.0]) * wide
    add(wrist - [0, 0.15 * wide], 0.42 * wide, arm, 0.65 * wide, -0.3 * wide, skin)
    add(wrist + 0.1 * (arm - wrist), 0.52 * wide, arm, 0.85 * wide, -0.3 * wide, sleeve)
    capsules = np.array(parts)
    if rng.random() < 0.5:
        capsules[:, [0, 3]] *= -1
    return _turned(np.zeros((0, 2)), capsules, rng.normal(0, 0.8))[1], np.stack(colours)


def occluder_layer(
    occluder: Occluder, origin: np.ndarray, face: float, lights: Lights, bank: np.ndarray, height: int, width: int
) -> np.ndarray:
    """(height, width, 4) float32: linear RGB times coverage, and coverage. origin: pixel (x, y); face: the face's size in pixels; bank:
    noise, its surface."""
    polygon = occluder.polygon * face + origin
    capsules = occluder.capsules * face
    capsules[:, :2] += origin
    capsules[:, 3:5] += origin
    flat = np.zeros((height, width), np.uint8)
    if len(polygon):
        cv2.fillPoly(flat, [np.rint(polygon * ONE).astype(np.int32)], 255, cv2.LINE_AA, SHIFT)
    layer = np.zeros((height, width, 4), np.float32)
    left, top, right, bottom = _region(polygon, capsules, height, width)
    _draw(layer, flat, occluder.colour, capsules, occluder.colours, lights, bank, origin[0], origin[1], left, top, right, bottom)
    layer[top:bottom, left:right] = cv2.GaussianBlur(layer[top:bottom, left:right], (0, 0), occluder.softness)
    return layer


def _region(polygon: np.ndarray, capsules: np.ndarray, height: int, width: int) -> tuple[int, int, int, int]:
    """left, top, right, bottom of the part of the picture that it can touch, at least a pixel."""
    radius = capsules[:, [2]], capsules[:, [5]]
    corners = [polygon, capsules[:, :2] - radius[0], capsules[:, :2] + radius[0], capsules[:, 3:5] - radius[1], capsules[:, 3:5] + radius[1]]
    points = np.concatenate(corners)
    low, high = np.floor(points.min(0)).astype(int) - 4, np.ceil(points.max(0)).astype(int) + 5
    left, top = int(np.clip(low[0], 0, width - 1)), int(np.clip(low[1], 0, height - 1))
    return left, top, int(np.clip(high[0], left + 1, width)), int(np.clip(high[1], top + 1, height))


@njit_inlining(noise)
def _draw(layer, flat, flat_colour, capsules, colours, lights, bank, origin_x, origin_y, left, top, right, bottom):
    for row in range(top, bottom):
        for column in range(left, right):
            coverage, highest, seen = flat[row, column] / 255.0, -1e30, -1
            nx, ny, nz, edge = 0.0, 0.0, 1.0, 0.0
            for k in range(len(capsules)):
                ax, ay, bx, by = capsules[k, 0], capsules[k, 1], capsules[k, 3], capsules[k, 4]
                along_x, along_y = bx - ax, by - ay
                t = ((column - ax) * along_x + (row - ay) * along_y) / (along_x * along_x + along_y * along_y + 1e-9)
                t = min(max(t, 0.0), 1.0)
                radius = capsules[k, 2] + t * (capsules[k, 5] - capsules[k, 2])
                dx, dy = column - ax - t * along_x, row - ay - t * along_y
                beside = np.sqrt(dx * dx + dy * dy)
                inside = radius - beside + 0.5
                if inside <= 0.0:
                    continue
                coverage = max(coverage, min(inside, 1.0))
                part = min(beside / radius, 1.0)
                round_up = np.sqrt(1.0 - part * part)
                height = capsules[k, 6] + radius * round_up
                if height > highest:
                    highest, seen = height, k
                    nx, ny, nz, edge = dx / radius, -dy / radius, round_up, part
            if coverage == 0.0:
                continue
            above = 0.5 + 0.5 * (nx * lights.up[0] + ny * lights.up[1] + nz * lights.up[2])
            u, v = column - origin_x, row - origin_y
            texture = 1.0 + 0.1 * noise_at(bank, BLOTCH, u, v) + 0.06 * noise_at(bank, MOTTLE, u, v)
            texture *= 1.0 - 0.45 * edge**4  # what lies beside a round thing shades its edge
            for k in range(3):
                arriving = lights.sky[k] * above + lights.ground[k] * (1.0 - above)
                for lamp in range(len(lights.directions)):
                    direction = lights.directions[lamp]
                    cosine = nx * direction[0] + ny * direction[1] + nz * direction[2]
                    arriving += lights.colours[lamp][k] * max((cosine + 0.2) / 1.2, 0.0)
                colour = flat_colour[k] if seen < 0 else colours[seen, k]
                layer[row, column, k] = coverage * colour * texture * arriving
            layer[row, column, 3] = coverage


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
