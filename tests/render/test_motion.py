import numpy as np
import pytest

from strrn.render.motion import PEAK, Degree, Movement, Passing, sample_acting, sample_movement

STILL = np.zeros((6, 3, 2))


def test_minimum_jerk_by_hand():
    """Half way at half time; peak speed 1.875 times the mean (Flash and Hogan 1985); at rest at both ends."""
    movement = Movement(np.array([0.0, 10.0]), np.stack([np.zeros(6), np.ones(6)]), STILL)
    assert movement.at(5)[Degree.x] == pytest.approx(0.5)
    speed = (movement.at(5.01) - movement.at(4.99))[Degree.x] / 0.02
    assert speed == pytest.approx(PEAK / 10, rel=1e-3)
    assert movement.at(0.01)[Degree.x] == pytest.approx(0, abs=1e-6)
    assert movement.at(25)[Degree.x] == 1


def test_movement_rests_and_moves():
    speeds = []
    for seed in range(20):
        movement = sample_movement(np.random.default_rng(seed), 90, 0.05, 0.6)
        track = np.stack([movement.at(time) for time in range(90)])
        speeds.append(np.linalg.norm(np.diff(track[:, [Degree.x, Degree.y]], axis=0), axis=1))
        assert np.abs(track[:, Degree.yaw]).max() < 0.61
    speeds = np.concatenate(speeds)
    assert np.quantile(speeds, 0.2) < 0.008 < 0.015 < np.quantile(speeds, 0.95) < 0.06  # face widths a frame


def test_acting_blinks_and_speaks():
    blinks = 0
    for seed in range(10):
        acting = sample_acting(np.random.default_rng(seed), 100, 25, 1.0)
        lids = acting.weights[:, acting.names.index("eyeBlinkLeft")]
        blinks += int((lids > 0.9).any())
        assert (acting.weights >= 0).all() and (acting.weights <= 1).all()
    assert blinks >= 8


def test_acting_between_frames_is_linear():
    acting = sample_acting(np.random.default_rng(1), 20, 25, 1.0)
    name = acting.names.index("jawOpen")
    middle = acting.at(3.5).weights.get("jawOpen", 0.0)
    assert middle == pytest.approx((acting.weights[3, name] + acting.weights[4, name]) / 2, abs=1e-4)


def test_passing_thing_is_there_for_its_time_only():
    passing = Passing(np.array([-1.0, 0]), np.array([1.0, 0]), 10, 20)
    assert passing.at(9.9) is None and passing.at(20.1) is None
    assert passing.at(15) == pytest.approx([0, 0])
