"""Things in front: they cover what they should, lie where they are put, and are lit from where the light is."""

import numpy as np
import pytest

from strrn.render.light import sample_lights
from strrn.render.noise import NOISE_SIZE, noise_bank
from strrn.render.occluder import occluder_layer, sample_occluder
from strrn.render.parameters import RenderParameters
from strrn.stages.parameters import load_section
from tests.render.conftest import TINY

SKIN = np.array([0.6, 0.4, 0.3])
SMOOTH = np.zeros((NOISE_SIZE, NOISE_SIZE, 4), np.float32)


@pytest.fixture
def lights():
    light = sample_lights(np.random.default_rng(0), load_section("render", RenderParameters, TINY).view)
    return light._replace(directions=((1.0, 0.0, 0.0),) * 3, sky=(0.2,) * 3, ground=(0.2,) * 3, colours=((0.8,) * 3, (0.0,) * 3, (0.0,) * 3))


def draw(thing, lights, origin=(100.0, 100.0), bank=SMOOTH):
    return occluder_layer(thing, np.array(origin), 100.0, lights, bank, 200, 200)


@pytest.mark.parametrize("seed", range(12))
def test_things_cover_a_part_of_the_picture_and_nothing_else(lights, seed):
    layer = draw(sample_occluder(np.random.default_rng(seed), SKIN, (0.2, 0.5), seed % 2), lights, bank=noise_bank())
    coverage = layer[..., 3]
    assert coverage.max() == pytest.approx(1, abs=1e-3) and 0.005 < (coverage > 0.5).mean() < 0.9
    assert (coverage >= 0).all() and not layer[coverage == 0].any()


def test_a_thing_moves_with_its_origin(lights):
    thing = sample_occluder(np.random.default_rng(1), SKIN, (0.2, 0.5), 1.0)
    here, there = draw(thing, lights), draw(thing, lights, (110.0, 95.0))
    assert there[20:150, 40:170] == pytest.approx(here[25:155, 30:160], abs=1e-4)


def test_a_thing_outside_the_picture_leaves_it_empty(lights):
    assert draw(sample_occluder(np.random.default_rng(2), SKIN, (0.2, 0.5), 0.0), lights, (-2000.0, -2000.0)).max() == 0


def test_a_hand_is_skin_round_and_brighter_towards_the_lamp(lights):
    hands = [sample_occluder(np.random.default_rng(seed), SKIN, (0.2, 0.5), 1.0) for seed in range(20)]
    assert all(np.ptp(hand.colours[0] / SKIN) < 1e-6 for hand in hands)
    finger = hands[0]
    finger = type(finger)(finger.polygon, finger.colour, np.array([[0.0, -0.5, 0.2, 0.0, 0.5, 0.2, 0.0]]), SKIN[None], 0.3)
    row = draw(finger, lights)[100, 82:119, 0]
    assert row[-4] > 1.5 * row[3] and np.argmax(row) > len(row) / 2
