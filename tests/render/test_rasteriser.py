import numpy as np
import pytest

from strrn.render.rasteriser import NOTHING, rasterise, vertex_normals


def test_one_triangle_by_hand():
    """Corners (1, 1), (1, 3), (3, 1) in pixels cover the six pixel centres with x + y <= 4."""
    points = np.float32([[1, 1], [1, 3], [3, 1]])
    index, weights, depth = rasterise(points, np.float32([0, 2, 4]), np.int32([[0, 1, 2]]), 5, 5)
    inside = {(1, 1), (2, 1), (3, 1), (1, 2), (2, 2), (1, 3)}
    assert {(x, y) for y, x in zip(*np.nonzero(index == 0), strict=True)} == inside
    assert index[4, 4] == NOTHING
    assert weights[1, 1] == pytest.approx([1, 0], abs=1e-6)
    assert weights[2, 2] == pytest.approx([0, 0.5], abs=1e-6)
    assert depth[2, 2] == pytest.approx(3)


def test_nearer_triangle_wins_and_back_is_culled():
    points = np.float32([[0, 0], [0, 8], [8, 0]])
    both = np.concatenate([points, points])
    depth = np.float32([1, 1, 1, 2, 2, 2])
    index, _, _ = rasterise(both, depth, np.int32([[0, 1, 2], [3, 4, 5]]), 4, 4)
    assert (index == 1).all()
    index, _, _ = rasterise(both, depth, np.int32([[0, 1, 2], [5, 4, 3]]), 4, 4)
    assert (index == 0).all()


def test_neighbours_leave_no_crack():
    rng = np.random.default_rng(0)
    points = np.float32([[0, 0], [20, 0], [20, 20], [0, 20], *rng.uniform(2, 18, (1, 2))])
    triangles = np.int32([[4, 1, 0], [4, 2, 1], [4, 3, 2], [4, 0, 3]])
    index, _, _ = rasterise(points, np.zeros(5, np.float32), triangles, 20, 20)
    assert (index != NOTHING).all()


def test_normals_of_a_square():
    vertices = np.float32([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [5, 5, 5]])
    normals = vertex_normals(vertices, np.int32([[0, 1, 2], [0, 2, 3]]))
    assert normals[:4] == pytest.approx(np.tile([0, 0, 1], (4, 1)))
    assert normals[4] == pytest.approx([0, 0, 0])
