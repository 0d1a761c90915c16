"""Crops that are rendered while training goes on: the same for any number of processes, the oldest replaced first."""

from dataclasses import replace

import numpy as np
import pytest

from strrn.core.geometry import mean_shape
from strrn.core.landmarks import LandmarkScheme, load_scheme
from strrn.data.crops import CropParameters
from strrn.render.mesh import load_mesh, save_mesh
from strrn.render.parameters import RenderParameters
from strrn.render.scene import open_studio
from strrn.render.stills import render_identity
from strrn.stages.parameters import load_section
from strrn.training.stream import CropRecipe, CropStream, StreamParameters
from tests.render.conftest import TINY
from tests.render.toy import write_anny

IBUG68 = load_scheme("ibug68")


@pytest.fixture(scope="module")
def mesh_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mesh")
    write_anny(folder / "data")
    save_mesh(load_mesh(folder / "data"), folder / "mesh.npz")
    return folder / "mesh.npz"


@pytest.fixture
def open_stream(mesh_file):
    render = load_section("render", RenderParameters, TINY)
    crop = replace(load_section("crop", CropParameters), size=64)
    shapes = [still.points_frame for still in render_identity(open_studio(mesh_file), render, np.random.SeedSequence(0), 3)]
    streams = []

    def build(workers: int, scheme: LandmarkScheme = IBUG68) -> CropStream:
        valid = np.ones((len(shapes), 68), bool)
        reference = mean_shape(scheme.from_68(np.stack(shapes), valid)[0], 64, 0.62)
        streams.append(CropStream(CropRecipe(mesh_file, render, crop, scheme, reference, 1), StreamParameters(fresh=2, workers=workers)))
        return streams[-1]

    yield build
    for stream in streams:
        stream.close()


def test_the_oldest_crops_make_room_whatever_the_number_of_processes(open_stream):
    one, two = open_stream(1), open_stream(2)
    crops, others = one.take(5), two.take(5)
    first = list(crops.images)
    assert len(set(first)) == 5 and crops.points.shape == (5, 68, 2) and crops.valid.all()
    one.refresh(crops, 0, 5)
    assert crops.images == first
    one.refresh(crops, 1, 5)
    second = list(crops.images)
    assert second[2:] == first[2:] and not set(second[:2]) & set(first)
    one.refresh(crops, 2, 5)
    assert crops.images[:2] == second[:2] and crops.images[4] == first[4] and not set(crops.images[2:4]) & set(first + second)
    two.refresh(others, 1, 5)
    two.refresh(others, 2, 5)
    assert others.images == crops.images and np.array_equal(others.points, crops.points)


def test_photographs_stay_and_points_are_those_of_the_scheme(open_stream):
    two = LandmarkScheme("two", ("left", "right"), (1, 0), {}, (), 0, {"d": ((0,), (1,))}, {}, ((36, 39), (45, 42)))
    stream = open_stream(1, two)
    crops = stream.take(4)
    assert crops.points.shape == (4, 2, 2) and crops.valid.all()
    before = list(crops.images)
    for epoch in range(4):
        stream.refresh(crops, epoch, 3)
    assert crops.images[3] == before[3] and not set(crops.images[:3]) & set(before)


def test_a_later_epoch_has_the_crops_that_it_would_have_had(open_stream):
    walked, jumped = open_stream(1), open_stream(1)
    crops, others = walked.take(3), jumped.take(3)
    for epoch in range(6):
        walked.refresh(crops, epoch, 3)
    jumped.refresh(others, 5, 3)
    assert others.images == crops.images and np.array_equal(others.points, crops.points)
    for stream, held in ((walked, crops), (jumped, others)):
        stream.refresh(held, 6, 3)
    assert others.images == crops.images


@pytest.mark.parametrize(("fresh", "workers"), [(-1, 1), (2, 0)])
def test_impossible_streams_are_refused(fresh, workers):
    with pytest.raises(ValueError, match="fresh must not be negative"):
        StreamParameters(fresh, workers)
