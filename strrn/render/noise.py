"""Tileable noise textures: what makes skin, hair and walls look like matter."""

import numpy as np
from numba import njit

NOISE_SIZE = 512
BLOTCH, MOTTLE, PORE, STRAND = 0, 1, 2, 3  # wavelengths 64 px and more, 12 to 64, 3 to 12; and streaks along the second axis


def noise_bank(seed: int = 7) -> np.ndarray:
    """(NOISE_SIZE, NOISE_SIZE, 4) float32, mean 0 and standard deviation 1 per channel; the same for every run and picture."""
    rng = np.random.default_rng(seed)
    frequency = np.fft.fftfreq(NOISE_SIZE)
    fy, fx = frequency[:, None], frequency[None, :]
    radius = np.hypot(fx, fy)
    bands = [
        _band(radius, 1 / 512, 1 / 64),
        _band(radius, 1 / 64, 1 / 12),
        _band(radius, 1 / 12, 1 / 3),
        _band(np.abs(fx), 1 / 64, 1 / 4) * (np.abs(fy) < 1 / 90),
    ]
    channels = []
    for band in bands:
        field = np.fft.ifft2(np.fft.fft2(rng.normal(size=(NOISE_SIZE, NOISE_SIZE))) * band).real
        channels.append((field - field.mean()) / field.std())
    return np.ascontiguousarray(np.stack(channels, -1), np.float32)


def grain_bank(seed: int = 8, count: int = 1_000_003) -> np.ndarray:
    """(count,) float32 normal numbers for sensor noise; a prime count, so that no row of a picture meets the same run again."""
    return np.random.default_rng(seed).standard_normal(count, dtype=np.float32)


def _band(radius: np.ndarray, low: float, high: float) -> np.ndarray:
    """1/f amplitude between two frequencies (cycles a pixel)."""
    return ((radius >= low) & (radius < high)) / np.maximum(radius, low)


@njit(inline="always", fastmath=True)
def noise_at(bank, channel, u, v):
    """Bilinear, periodic value of a channel at (u, v) in texture pixels."""
    last = NOISE_SIZE - 1  # the size is a power of two: a mask does for a division
    x0, y0 = int(np.floor(u)), int(np.floor(v))
    fx, fy = u - x0, v - y0
    xa, xb, ya, yb = x0 & last, (x0 + 1) & last, y0 & last, (y0 + 1) & last
    top = bank[ya, xa, channel] * (1 - fx) + bank[ya, xb, channel] * fx
    bottom = bank[yb, xa, channel] * (1 - fx) + bank[yb, xb, channel] * fx
    return top * (1 - fy) + bottom * fy
