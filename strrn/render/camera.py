"""The camera: where the head stands before it, and what lens, sensor and encoder do to the light."""

from dataclasses import dataclass

import cv2
import numpy as np
from numba import njit

LEVELS = 4096


@dataclass(frozen=True)
class Pose:
    """yaw, pitch, roll: radians; positive yaw turns to the person's left (image right), pitch down, roll anticlockwise in the picture.

    centre: pixel (x, y) of the head's origin. scale: pixels per dm at the origin's depth. distance: dm from the camera to the origin.
    """

    yaw: float
    pitch: float
    roll: float
    centre: tuple[float, float]
    scale: float
    distance: float

    @property
    def rotation(self) -> np.ndarray:
        """(3, 3) float32, head -> camera (x right, y up, z to the camera)."""
        cy, sy, cp, sp = np.cos(self.yaw), np.sin(self.yaw), np.cos(self.pitch), np.sin(self.pitch)
        turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
        nod = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
        tilt = np.eye(3)
        tilt[:2, :2] = self.tilt
        return np.float32(tilt @ nod @ turn)

    @property
    def tilt(self) -> np.ndarray:
        """(2, 2) rotation in the picture's plane (y up)."""
        return np.array([[np.cos(self.roll), -np.sin(self.roll)], [np.sin(self.roll), np.cos(self.roll)]])

    def project(self, posed: np.ndarray) -> np.ndarray:
        """posed (..., 3) in camera axes, dm -> (..., 3): pixel x, pixel y, depth (dm towards the camera)."""
        points = np.ascontiguousarray(posed, np.float32).reshape(-1, 3)
        return _project(points, self.scale, self.distance, *self.centre).reshape(posed.shape)


@njit(cache=True, nogil=True)
def _project(points, scale, distance, centre_x, centre_y):
    projected = np.empty_like(points)
    for n in range(len(points)):
        grow = scale / (1 - points[n, 2] / distance)
        projected[n, 0] = centre_x + points[n, 0] * grow
        projected[n, 1] = centre_y - points[n, 1] * grow
        projected[n, 2] = points[n, 2]
    return projected


@njit(cache=True, nogil=True)
def over(layer, behind):
    """Linear RGB (H, W, 3) float32 of a layer (H, W, 4: RGB times coverage, coverage) in front of a picture (H, W, 3)."""
    picture = np.empty_like(behind)
    for row in range(behind.shape[0]):
        for column in range(behind.shape[1]):
            through = np.float32(1) - layer[row, column, 3]
            for k in range(3):
                picture[row, column, k] = layer[row, column, k] + through * behind[row, column, k]
    return picture


@dataclass(frozen=True)
class Sensor:
    """gain: on linear light. tint: (3,) left by the white balance. blur: Gaussian sigma of the lens, pixels. noise: standard deviation at
    full light, 0..1 of full scale, growing with the root of the light. gamma: contrast of the tone curve around the sRGB one. vignette: loss
    in the corners. low: share of the resolution that is kept (1 = all). grey: monochrome."""

    gain: float
    tint: tuple[float, float, float]
    blur: float
    noise: float
    gamma: float
    vignette: float
    low: float
    grey: bool


def sample_sensor(
    rng: np.random.Generator, gain: float, blur: tuple[float, float], noise: tuple[float, float], low: float, grey: float
) -> Sensor:
    """blur, noise: ranges (low ends are more frequent). low, grey: probability of a picture that was once smaller, of a monochrome one."""
    warmth = rng.normal(0.01, 0.04)
    return Sensor(
        gain=gain,
        tint=(float(np.exp(warmth)), float(np.exp(rng.normal(0, 0.01))), float(np.exp(-warmth))),
        blur=float(blur[0] + (blur[1] - blur[0]) * rng.beta(1, 3)),
        noise=float(noise[0] + (noise[1] - noise[0]) * rng.beta(1, 2.5)),
        gamma=float(np.exp(rng.normal(0, 0.08))),
        vignette=float(rng.uniform(0, 0.2)),
        low=float(rng.uniform(0.4, 0.8)) if rng.random() < low else 1.0,
        grey=bool(rng.random() < grey),
    )


def exposure(head: np.ndarray, rng: np.random.Generator) -> float:
    """Gain that a camera which meters the face would choose for a layer (H, W, 4) of linear RGB and coverage."""
    some = head[::4, ::4].reshape(-1, 4)
    levels = some[some[:, 3] > 0.9, :3].sum(1) / 3
    rank = int(0.7 * len(levels))
    level = float(np.partition(levels, rank)[rank]) if len(levels) else 0.2
    # Dark skin is metered darker than light skin, only less so than its albedo: cameras and people both correct a part.
    target = 0.34 * (level / 0.34) ** 0.35 * np.exp(rng.normal(0, 0.22))
    return float(np.clip(target / max(level, 1e-3), 0.2, 8.0))


_STEPS = np.linspace(0, 1, LEVELS, dtype=np.float32)
_SRGB = np.where(_STEPS <= 0.0031308, 12.92 * _STEPS, 1.055 * _STEPS ** (1 / 2.4) - 0.055).astype(np.float32)


def develop(light: np.ndarray, sensor: Sensor, rng: np.random.Generator, grain: np.ndarray) -> np.ndarray:
    """Linear RGB (H, W, 3) float32 -> picture (H, W, 3) uint8 RGB (sRGB).

    grain: (N,) float32 normal numbers, read from a random place on.
    """
    height, width = light.shape[:2]
    picture = light
    if sensor.low < 1.0:
        small = (round(width * sensor.low), round(height * sensor.low))
        picture = cv2.resize(cv2.resize(picture, small, interpolation=cv2.INTER_AREA), (width, height), interpolation=cv2.INTER_LINEAR)
    if sensor.blur > 0.15:
        picture = cv2.GaussianBlur(picture, (0, 0), sensor.blur)
    curve = np.rint(255 * _SRGB**sensor.gamma).astype(np.uint8)
    gains = tuple(sensor.gain * tint for tint in sensor.tint)
    result = _expose(np.ascontiguousarray(picture), gains, sensor.vignette, sensor.noise, curve, grain, int(rng.integers(len(grain))))
    if sensor.grey:
        result = np.repeat(cv2.cvtColor(result, cv2.COLOR_RGB2GRAY)[..., None], 3, -1)
    return result


@njit(cache=True, fastmath=True, nogil=True)
def _expose(light, gains, vignette, noise, curve, grain, start):
    height, width = light.shape[0], light.shape[1]
    picture = np.empty((height, width, 3), np.uint8)
    at, last = start, grain.shape[0]
    for row in range(height):
        y = 2.0 * row / height - 1.0
        for column in range(width):
            x = 2.0 * column / width - 1.0
            corner = 1.0 - 0.5 * vignette * (x * x + y * y)
            for k in range(3):
                value = max(light[row, column, k] * gains[k] * corner, 0.0)
                # A soft shoulder instead of a hard clip, as cameras have.
                if value > 0.75:
                    value = 1.0 - 0.25 / (1.0 + (value - 0.75) * 4.0)
                if at >= last:
                    at = 0
                # Photon noise grows with the root of the light; a part is there in the dark.
                value += noise * np.sqrt(0.9 * value + 0.02) * grain[at]
                at += 1
                picture[row, column, k] = curve[int(min(max(value, 0.0), 1.0) * (LEVELS - 1) + 0.5)]
    return picture
