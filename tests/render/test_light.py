import numpy as np
import pytest

from strrn.render.light import _lit_shares, ambient_occlusion, look_along, sample_lights, shadow_map, shadow_maps
from strrn.render.parameters import RenderParameters
from strrn.stages.parameters import load_section
from tests.render.conftest import TINY

# A floor (y = 0) of 4 x 4 and a small roof above its middle.
VERTICES = np.float32([[-2, 0, -2], [-2, 0, 2], [2, 0, 2], [2, 0, -2], [-0.5, 1, -0.5], [-0.5, 1, 0.5], [0.5, 1, 0.5], [0.5, 1, -0.5]])
TRIANGLES = np.int32([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])


def test_roof_shades_the_floor_below_it():
    lamp, depth = shadow_map(VERTICES, TRIANGLES, np.array([0.0, 1.0, 0.0]))
    places = np.float32([[0, 0, 0], [0.2, 0, -0.2], [1.2, 0, 0], [0, 1, 0]])
    assert _lit_shares(lamp, depth, places) == pytest.approx([0, 0, 1, 1])


@pytest.mark.parametrize(("strength", "beside_the_roof"), [(0.5, 0), (0.1, 1)])
def test_a_second_lamp_casts_a_shadow_of_its_own_unless_it_is_weak(strength, beside_the_roof):
    lights = sample_lights(np.random.default_rng(0), load_section("render", RenderParameters, TINY).view)
    lights = lights._replace(
        directions=((0.0, 1.0, 0.0), (0.7071, 0.7071, 0.0), (0.0, 0.0, -1.0)), colours=((1.0,) * 3, (strength,) * 3, (0.0,) * 3)
    )
    maps, depths = shadow_maps(VERTICES, TRIANGLES, lights, 128)
    places = np.float32([[0, 0, 0], [-1, 0, 0]])  # below the roof, and where the second lamp throws its shadow
    assert _lit_shares(maps[0], depths[0], places) == pytest.approx([0, 1])
    assert _lit_shares(maps[1], depths[1], places) == pytest.approx([1, beside_the_roof])


def test_axes_are_right_handed():
    for direction in ([0, 0, 1], [0, 1, 0], [0.3, -0.9, 0.2]):
        axes = look_along(np.array(direction))
        assert axes @ axes.T == pytest.approx(np.eye(3), abs=1e-6)
        assert np.linalg.det(axes) == pytest.approx(1)


def test_open_floor_sees_the_whole_sky():
    seen = ambient_occlusion(VERTICES[:4], TRIANGLES[:2])
    assert seen == pytest.approx(np.ones(4), abs=0.01)  # grazing directions meet the bias


def test_lights_are_plain_numbers():
    lights = sample_lights(np.random.default_rng(0), load_section("render", RenderParameters, TINY).view)
    assert np.linalg.norm(lights.directions, axis=1) == pytest.approx(np.ones(3))
    assert all(isinstance(value, float) for colour in lights.colours for value in colour)
