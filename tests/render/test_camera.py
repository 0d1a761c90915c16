from dataclasses import replace

import numpy as np
import pytest

from strrn.render.camera import Sensor, develop, exposure

PLAIN = Sensor(gain=1.0, tint=(1.0, 1.0, 1.0), blur=0.0, noise=0.0, gamma=1.0, vignette=0.0, low=1.0, grey=False)
GRAIN = np.random.default_rng(0).standard_normal(10_007, dtype=np.float32)


def developed(value: float, **changes) -> np.ndarray:
    return develop(np.full((64, 80, 3), value, np.float32), replace(PLAIN, **changes), np.random.default_rng(1), GRAIN)


def test_srgb_by_hand():
    """IEC 61966-2-1: linear 0.2 -> 0.4845 -> 124; the dark end is linear."""
    assert (developed(0.2) == 124).all()
    assert (developed(0.0) == 0).all()
    assert abs(int(developed(0.002)[0, 0, 0]) - 7) <= 1


def test_gain_doubles_light():
    assert np.array_equal(developed(0.1, gain=2.0), developed(0.2))


def test_noise_has_its_size():
    picture = developed(0.5, noise=0.02, gamma=1.0).astype(float)
    # Slope of the sRGB curve at 0.5: 1.055 / 2.4 * 0.5 ** (1 / 2.4 - 1) = 0.6587; sigma = 0.02 * sqrt(0.47) * 0.6587 * 255.
    assert picture.std() == pytest.approx(0.02 * np.sqrt(0.47) * 0.6587 * 255, rel=0.1)


def test_highlights_roll_off():
    assert 225 < developed(1.0)[0, 0, 0] < developed(3.0)[0, 0, 0] <= 255


def test_exposure_brightens_dark_faces_and_dims_bright_ones():
    dark, bright = (
        exposure(np.full((40, 40, 4), level, np.float32) + np.float32([0, 0, 0, 1]), np.random.default_rng(0)) for level in (0.05, 0.9)
    )
    assert dark > 1 > bright


def test_the_same_seed_gives_the_same_noise():
    assert np.array_equal(developed(0.3, noise=0.05), developed(0.3, noise=0.05))
