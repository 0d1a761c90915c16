from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from strrn.render.expression import Expression
from strrn.render.identity import sample_person
from strrn.render.mesh import Mesh, load_mesh, open_mesh, save_mesh


def test_targets_are_read_into_our_numbers(toy_mesh):
    row = toy_mesh.target_index["cheek/l-cheek-volume-incr"]
    offsets = toy_mesh.blend([row], [1.0])
    moved = np.linalg.norm(offsets, axis=1) > 0
    assert moved.any() and (toy_mesh.base[moved, 0] > 0.5).all()
    assert offsets[moved, 0] == pytest.approx(0.05)


def test_saved_mesh_is_the_same(toy_mesh, tmp_path):
    save_mesh(toy_mesh, tmp_path / "mesh.npz")
    again = open_mesh(tmp_path / "mesh.npz")
    assert all(np.array_equal(getattr(again, field.name), getattr(toy_mesh, field.name)) for field in fields(Mesh))


def test_a_blend_is_the_weighted_sum_of_targets(toy_mesh):
    first, second = (toy_mesh.blend([row], [1.0]) for row in (0, 1))
    assert toy_mesh.blend([0, 1, 0], [0.5, -2.0, 1.0]) == pytest.approx(1.5 * first - 2 * second)


def test_missing_file_is_named_with_the_cure(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"base\.obj is missing: run the download stage"):
        load_mesh(Path(tmp_path))


def person_of(studio, look, seed, **changes):
    return sample_person(np.random.default_rng(seed), studio.mesh, studio.axes, replace(look, **changes))


def test_identities_differ_and_repeat(studio, tiny):
    first, second, again = (person_of(studio, tiny.look, seed) for seed in (1, 2, 1))
    assert np.array_equal(first.offsets, again.offsets)
    assert not np.array_equal(first.offsets, second.offsets)


def test_without_macro_shapes_everybody_is_of_average_sex_age_and_ancestry(studio, tiny):
    people = [person_of(studio, tiny.look, seed, macro=0.0, detail=0.0) for seed in (1, 2)]
    assert people[0].offsets == pytest.approx(people[1].offsets)
    assert people[0].sex == people[0].age == 0.5 and people[0].ancestry == pytest.approx([1 / 3] * 3)


def test_twin_axes_move_both_cheeks_alike(studio, tiny):
    """With no asymmetry, left and right values are equal, so offsets are mirror images."""
    person = person_of(studio, tiny.look, 4, detail=0.5, asymmetry=0.0)
    cheeks = np.abs(person.offsets[:, 0]) > 1e-6
    left, right = (person.offsets[cheeks & (side * studio.mesh.base[:, 0] > 0), 0] for side in (1, -1))
    assert left.mean() == pytest.approx(-right.mean(), rel=1e-3)


def test_unknown_unit_is_an_error(studio):
    with pytest.raises(ValueError, match="'smirk' is unknown"):
        studio.units.apply(Expression({"smirk": 1.0}, (0.0, 0.0)))


def test_every_detail_target_is_the_end_of_an_axis(studio):
    """up and down are one axis, in and out another: four targets of the mouth, two axes."""
    axes, index = studio.axes, studio.mesh.target_index
    detail = {row for name, row in index.items() if name.startswith(("cheek/", "mouth/"))}
    assert detail == (set(axes.positive.tolist()) | set(axes.negative.tolist())) - {-1}
    for positive, negative in (("up", "down"), ("out", "in")):
        axis = axes.positive.tolist().index(index[f"mouth/mouth-trans-{positive}"])
        assert axes.negative[axis] == index[f"mouth/mouth-trans-{negative}"]


def test_faces_are_symmetric_on_average_and_without_asymmetry_each(studio, tiny):
    mouth = np.abs(studio.mesh.rest[:, 1] - 6.69) < 0.05

    def middles(asymmetry: float) -> np.ndarray:
        people = [person_of(studio, tiny.look, seed, detail=0.5, asymmetry=asymmetry) for seed in range(200)]
        return np.array([person.offsets[mouth, 0].mean() for person in people])

    assert np.abs(middles(0.0)).max() < 1e-6
    assert middles(1.0).std() > 0.01 and abs(middles(1.0).mean()) < 3 * middles(1.0).std() / np.sqrt(200)
