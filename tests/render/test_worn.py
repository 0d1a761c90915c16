"""Caps and scarves: they stand off the head where they are, leave the face free, and hide what is under a brim."""

from dataclasses import replace

import numpy as np
import pytest

from strrn.render.hair import CLOTH_SHEET, HAIR_SHEET, rise
from strrn.render.material import CAP, NOTHING_WORN, SCARF, covers
from strrn.render.scene import sample_actor


def actors(studio, tiny, **look):
    parameters = replace(tiny.look, **look)
    return [sample_actor(np.random.default_rng(seed), studio, parameters) for seed in range(12)]


def test_shares_decide_who_wears_what(studio, tiny):
    assert all(actor.look.worn == CAP for actor in actors(studio, tiny, caps=1.0))
    assert all(actor.look.worn == NOTHING_WORN for actor in actors(studio, tiny, caps=0.0, scarves=0.0))
    assert {actor.look.worn for actor in actors(studio, tiny, caps=0.0, scarves=0.6)} == {NOTHING_WORN, SCARF}


def test_cloth_stands_off_where_it_is_and_nowhere_else(studio, tiny):
    mesh = studio.mesh
    for actor in actors(studio, tiny, caps=0.5, scarves=0.5):
        bald = actor.look._replace(hair_density=0.0)
        above = covers(bald, mesh.rest)
        standing = rise(bald, mesh.rest, mesh.masks, 0.2, 0.1)[:, 0]
        assert (above[:, 0] == -1).all()  # no hair
        if actor.look.worn == NOTHING_WORN:
            assert not standing.any()
            continue
        assert standing[above[:, 1] > 0.1] == pytest.approx(0.1) and not standing[above[:, 1] < -0.05].any()
        face = studio.landmarks.inner.on(mesh.rest)
        assert (covers(bald, face.astype(np.float32))[:, 1] < 0).all()  # eyes, nose and mouth are free


def test_a_scarf_hides_hair_and_a_cap_may_have_a_brim(studio, tiny):
    scarves = [actor for actor in actors(studio, tiny, caps=0.0, scarves=1.0, long_hair=1.0) if actor.look.worn == SCARF]
    assert scarves and not any(actor.sheets for actor in scarves)
    groups = [{sheet.group for sheet in actor.sheets} for actor in actors(studio, tiny, caps=1.0, long_hair=1.0)]
    assert any(CLOTH_SHEET in group for group in groups) and any(HAIR_SHEET in group for group in groups)
