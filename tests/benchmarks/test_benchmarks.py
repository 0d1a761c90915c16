import hashlib

import numpy as np
import pytest

from benchmarks.landmarks import aligned, held, modes
from benchmarks.photographs import halves, jittered_box_crop
from benchmarks.render import FACTORS, milliseconds, sized, without
from benchmarks.sim2real import ABLATIONS
from strrn.core.geometry import bounding_box
from strrn.render.parameters import RenderParameters
from strrn.stages.parameters import load_section
from tests.data.test_sources import write_pts


@pytest.mark.parametrize("name", FACTORS | ABLATIONS)
def test_every_factor_can_be_switched_off(name):
    defaults = load_section("render", RenderParameters)
    assert without(defaults, (FACTORS | ABLATIONS)[name]) != defaults


def test_times_are_of_a_face(studio, tiny):
    parameters = sized(tiny, 64)
    assert parameters.stills.face_pixels == [32, 47]
    times = milliseconds(studio, parameters, 4)
    assert len(times) == -(-4 // parameters.stills.per_identity) and (times > 0).all()


def test_faces_of_one_photograph_stay_in_one_half(tmp_path):
    points = np.arange(136).reshape(68, 2)
    names = ["afw/10_1", "afw/10_2", "afw/11_1", "helen/trainset/20_1", "helen/trainset/20_2"]
    for name in names:
        path = tmp_path / f"{name}.pts"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_pts(path, points)
        path.with_suffix(".png").touch()
    parts = [{str(face.path.relative_to(tmp_path).with_suffix("")) for face in part} for part in halves(tmp_path)]
    assert parts[0] | parts[1] == set(names)
    odd = {
        name: int(hashlib.sha1(key.encode()).hexdigest(), 16) % 2
        for name, key in zip(names, ["10", "10", "11", "20_1", "20_2"], strict=True)
    }
    assert all(name in parts[half] for name, half in odd.items())


def test_a_box_crop_is_upright_and_about_right():
    rng = np.random.default_rng(0)
    reference = rng.uniform(60, 250, (68, 2)).astype(np.float32)
    points = reference * 0.5 + 40
    scales, shifts = [], []
    for _ in range(400):
        transform = jittered_box_crop(points, reference, 315, rng)
        assert transform.b == 0
        scales.append(transform.scale / 2)
        shifts.append(transform.to_crop(points).mean(0) - reference.mean(0))
    side = np.sqrt(np.prod(np.ptp(bounding_box(reference).reshape(2, 2), 0)))
    assert np.std(np.log(scales)) == pytest.approx(0.05, rel=0.15)
    assert np.std(shifts, 0) == pytest.approx(0.05 * side, rel=0.15)


def test_modes_of_known_shapes():
    """Shapes that vary in one direction only: one mode holds everything, a foreign direction nothing."""
    rng = np.random.default_rng(1)
    base, direction = rng.normal(size=(68, 2)), np.zeros((68, 2))
    direction[8, 1] = 1.0
    shapes = base + rng.normal(size=(50, 1, 1)) * direction
    directions, spread = modes(shapes)
    assert held(shapes, directions[:1]) == pytest.approx(1.0)
    assert held(shapes, np.eye(136)[:1]) == pytest.approx(0.0)
    assert spread[0] == pytest.approx(np.std(shapes[:, 8, 1]))


def test_alignment_ignores_the_jaw():
    rng = np.random.default_rng(2)
    reference = rng.normal(size=(68, 2)) * 50
    moved = reference.copy()
    moved[:17] += 30
    eyes = np.linalg.norm(reference[36] - reference[45])
    assert aligned(moved[None] * 2 + 5, reference)[0, 17:] == pytest.approx(reference[17:] / eyes, abs=1e-4)
