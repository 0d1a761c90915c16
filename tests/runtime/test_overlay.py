import numpy as np
import pytest

from strrn.core.geometry import bounding_box
from strrn.runtime.loop import FaceState, State
from strrn.runtime.overlay import draw
from tests.runtime import tiny


def state(points, which=State.tracking):
    points = np.asarray(points, np.float32)
    return FaceState(0, points, points, np.ones(len(points), np.float32), which, bounding_box(points), "")


def moved(frame, picture):
    """Weight of what was drawn in every pixel, without the label."""
    change = np.abs(picture.astype(int) - frame).sum(-1).astype(float)
    change[:60, :200] = 0
    return change


@pytest.mark.parametrize("shift", [0.0, 0.25, 0.5])
@pytest.mark.parametrize("size", [1.0, 4.0])
def test_points_are_drawn_at_their_sub_pixel_place(size, shift):
    frame = np.zeros((720, 960, 3), np.uint8)
    points = (tiny.REFERENCE - tiny.REFERENCE.mean(0)) * size + (480 + shift, 360)
    no_lines = tiny.LandmarkScheme(**{**vars(tiny.SCHEME), "edges": ()})
    picture = draw(frame, [state(points)], no_lines)
    assert not frame.any()  # a copy is drawn on
    change = moved(frame, picture)
    for x, y in points:
        column, row = round(x), round(y)
        window = change[row - 9 : row + 10, column - 9 : column + 10]
        offsets = np.arange(-9, 10)
        centre = np.array([(window.sum(0) * offsets).sum(), (window.sum(1) * offsets).sum()]) / window.sum()
        np.testing.assert_allclose(np.add(centre, (column, row)), (x, y), atol=0.12)


def test_the_picture_is_untouched_away_from_points_and_label():
    frame = np.random.default_rng(0).integers(0, 256, (360, 480, 3), np.uint8)
    points = tiny.truth(30)
    change = moved(frame, draw(frame, [state(points)], tiny.SCHEME, "1.20 s"))
    rows, columns = np.nonzero(change)
    assert columns.min() >= points[:, 0].min() - 4 and columns.max() <= points[:, 0].max() + 4
    assert rows.min() >= points[:, 1].min() - 4 and rows.max() <= points[:, 1].max() + 4


@pytest.mark.parametrize("where", [(-400, 100), (1e9, 1e9), (478, 358)])
def test_a_face_outside_the_frame_is_no_error(where):
    frame = np.zeros((360, 480, 3), np.uint8)
    assert draw(frame, [state(tiny.REFERENCE + where)], tiny.SCHEME).shape == frame.shape


@pytest.mark.parametrize("which", State)
def test_every_state_has_its_label(which):
    frame = np.zeros((40, 60, 3), np.uint8)  # smaller than the label
    points = np.full((5, 2), np.nan) if which in (State.lost, State.searching) else tiny.REFERENCE
    assert draw(frame, [state(points, which)], tiny.SCHEME, "0.00 s")[:, :20].any()


def test_the_label_is_of_the_face_in_doubt():
    frame = np.zeros((400, 600, 3), np.uint8)
    sure, doubtful = state(tiny.REFERENCE + 200), state(tiny.REFERENCE + 200, State.uncertain)
    corner = {name: draw(frame, faces, tiny.SCHEME)[:60, :200] for name, faces in (("one", [sure, doubtful]), ("none", [sure, sure]))}
    assert (corner["one"] != corner["none"]).any()
    assert (corner["one"] == (draw(frame, [doubtful, sure], tiny.SCHEME)[:60, :200])).all()
