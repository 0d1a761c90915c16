import numpy as np
import pytest

from strrn.render.noise import MOTTLE, NOISE_SIZE, noise_at, noise_bank, noise_level, noise_levels


def test_a_level_shows_the_same_texture_at_the_same_place():
    """The mean of the four texels around (11.5, 7.5) is one texel of the half resolution, and is read there."""
    levels = noise_levels(noise_bank())
    fine, coarse = levels[0][..., MOTTLE], levels[1]
    assert noise_at.py_func(coarse, MOTTLE, 10.5, 6.5) == pytest.approx(fine[6:8, 10:12].mean(), abs=1e-6)
    assert noise_at.py_func(levels[0], MOTTLE, 10.0, 6.0) == pytest.approx(fine[6, 10], abs=1e-6)


def test_the_level_fits_the_footprint():
    levels = noise_levels(noise_bank())
    assert [noise_level(levels, footprint).shape[1] for footprint in (0.3, 1.9, 2.1, 4.5, 100.0)] == [
        NOISE_SIZE, NOISE_SIZE, NOISE_SIZE // 2, NOISE_SIZE // 4, NOISE_SIZE // 8,
    ]  # fmt: skip
    assert all(np.isfinite(level).all() for level in levels)
