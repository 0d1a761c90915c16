"""Tileable noise textures: what makes skin, hair and walls look like matter."""

import numpy as np
from numba import njit

NOISE_SIZE = 512
BLOTCH, MOTTLE, PORE, STRAND = 0, 1, 2, 3  # wavelengths 64 px and more, 12 to 64, 2.4 to 9; and streaks along the first axis


def noise_bank(seed: int = 7) -> np.ndarray:
    """(NOISE_SIZE, NOISE_SIZE, 4) float32, mean 0 and standard deviation 1 per channel; the same for every run and picture."""
    rng = np.random.default_rng(seed)
    frequency = np.fft.fftfreq(NOISE_SIZE)
    fy, fx = frequency[:, None], frequency[None, :]
    radius = np.hypot(fx, fy)
    bands = [
        _band(radius, 1 / 512, 1 / 64),
        _band(radius, 1 / 64, 1 / 12),
        _band(radius, 1 / 9, 1 / 2.4),
        _band(np.abs(fx), 1 / 64, 1 / 4) * (np.abs(fy) < 1 / 90),
    ]
    channels = []
    for band in bands:
        field = np.fft.ifft2(np.fft.fft2(rng.normal(size=(NOISE_SIZE, NOISE_SIZE))) * band).real
        channels.append((field - field.mean()) / field.std())
    return np.stack(channels, -1).astype(np.float32)


def noise_levels(bank: np.ndarray, count: int = 4) -> tuple[np.ndarray, ...]:
    """The bank and what is left of it at half, a quarter … of the resolution: a pixel that covers many texture pixels sees their mean."""
    levels = [bank]
    for _ in range(count - 1):
        half = len(levels[-1]) // 2
        levels.append(np.ascontiguousarray(levels[-1].reshape(half, 2, half, 2, -1).mean((1, 3))))
    return tuple(levels)


def noise_level(levels: tuple[np.ndarray, ...], footprint: float) -> np.ndarray:
    """The level for pictures in which a pixel covers `footprint` texture pixels."""
    return levels[int(np.clip(np.log2(max(footprint, 1.0)), 0, len(levels) - 1))]


def grain_bank(seed: int = 8, count: int = 1_000_003) -> np.ndarray:
    """(count,) float32 normal numbers for sensor noise; a prime count, so that no row of a picture meets the same run again."""
    return np.random.default_rng(seed).standard_normal(count, dtype=np.float32)


def _band(radius: np.ndarray, low: float, high: float) -> np.ndarray:
    """1/f amplitude between two frequencies (cycles a pixel)."""
    return ((radius >= low) & (radius < high)) / np.maximum(radius, low)


@njit(inline="always", fastmath=True)
def noise_at(bank, channel, u, v):
    """Bilinear, periodic value of a channel at (u, v) in texture pixels of the full resolution; bank: any of the levels."""
    xa, xb, ya, yb, fx, fy = _neighbours(bank, u, v)
    return _between(bank, channel, xa, xb, ya, yb, fx, fy)


@njit(inline="always", fastmath=True)
def skin_noise(bank, u, v):
    """noise_at of BLOTCH, MOTTLE and PORE at one place."""
    xa, xb, ya, yb, fx, fy = _neighbours(bank, u, v)
    return (
        _between(bank, BLOTCH, xa, xb, ya, yb, fx, fy),
        _between(bank, MOTTLE, xa, xb, ya, yb, fx, fy),
        _between(bank, PORE, xa, xb, ya, yb, fx, fy),
    )


@njit(inline="always", fastmath=True)
def _neighbours(bank, u, v):
    size = bank.shape[0]
    share = size / NOISE_SIZE
    u, v = (u + 0.5) * share - 0.5, (v + 0.5) * share - 0.5
    last = size - 1  # the size is a power of two: a mask does for a division
    x0, y0 = int(np.floor(u)), int(np.floor(v))
    return x0 & last, (x0 + 1) & last, y0 & last, (y0 + 1) & last, u - x0, v - y0


@njit(inline="always", fastmath=True)
def _between(bank, channel, xa, xb, ya, yb, fx, fy):
    top = bank[ya, xa, channel] + (bank[ya, xb, channel] - bank[ya, xa, channel]) * fx
    bottom = bank[yb, xa, channel] + (bank[yb, xb, channel] - bank[yb, xa, channel]) * fx
    return top + (bottom - top) * fy
