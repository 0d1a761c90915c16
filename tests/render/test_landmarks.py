"""Exact truth: on an ellipsoid, contour and visibility are formulas."""

from dataclasses import replace

import numpy as np
import pytest

from strrn.core.landmarks import load_scheme
from strrn.render.camera import Pose
from strrn.render.expression import Expression
from strrn.render.landmarks import MIRRORED, NUM_LANDMARKS, RIGHT_VERTICES, build_landmarks, contour, on_front, visibility
from strrn.render.light import Lights
from strrn.render.rasteriser import rasterise
from strrn.render.scene import Actor, Studio, landmark_points, sample_actor, view_head
from tests.render.toy import CENTRE, PLACES, RADII

FAR = 1e6  # dm: no perspective
NOON = Lights((0.5,) * 3, (0.2,) * 3, (0.0, 1.0, 0.0), ((0.0, 0.0, 1.0),) * 3, ((0.5,) * 3,) * 3, 0.5)


@pytest.fixture
def actor(studio: Studio, tiny) -> Actor:
    """The rest head itself, about its origin, without hair or glasses."""
    someone = sample_actor(np.random.default_rng(3), studio, tiny.look)
    neutral = np.float32(studio.mesh.rest - [0, 7.05, 0.75])
    return replace(someone, neutral=neutral, rise=0 * someone.rise, hair_thickness=0.0, sheets=(), glasses=None)


def pose(yaw=0.0, pitch=0.0, roll=0.0, scale=100.0, distance=FAR) -> Pose:
    return Pose(yaw, pitch, roll, (160.0, 120.0), scale, distance)


def silhouette_halves(direction: np.ndarray) -> tuple[float, float]:
    """Half width and height of the toy head's outline for a head turned about y, seen from far away."""
    return float(np.sqrt((RADII[0] * direction[0]) ** 2 + (RADII[2] * direction[1]) ** 2)), float(RADII[1])


def test_map_covers_the_scheme_and_its_mirror():
    scheme = load_scheme("ibug68")
    assert scheme.num_landmarks == NUM_LANDMARKS
    assert set(RIGHT_VERTICES) | set(MIRRORED) == set(range(27, 68))
    for left, right in MIRRORED.items():
        assert scheme.mirror[left] == right


def test_inner_points_of_the_rest_head_are_where_they_were_put(studio, toy_mesh):
    found = studio.landmarks.inner.on(toy_mesh.rest)
    grid = 2 * np.pi * RADII.max() / 96  # vertices are that far apart at most
    for landmark in range(27, 68):
        x, y = PLACES[MIRRORED.get(landmark, landmark)]
        assert found[landmark - 27][:2] == pytest.approx([-x if landmark in MIRRORED else x, y], abs=grid)


def test_points_are_mirror_images_for_mirrored_yaw(studio, actor):
    scheme = load_scheme("ibug68")
    right, left = (landmark_points(studio, actor, actor.neutral, pose(yaw=yaw))[:, :2] for yaw in (0.4, -0.4))
    mirrored = left[list(scheme.mirror)] * [-1, 1] + [320, 0]
    inner = [point for point in range(68) if not 17 <= point <= 26]  # the brows of a person differ
    assert np.abs(right - mirrored)[inner].max() < 0.2  # pixels of a 150 px face


@pytest.mark.parametrize("yaw", [0.3, 0.6, -0.5])
def test_far_contour_of_a_turned_head_is_the_silhouette(studio, actor, yaw):
    """The outline of an ellipsoid turned by yaw is an ellipse with halves sqrt(a^2 cos^2 + c^2 sin^2) and b."""
    points = landmark_points(studio, actor, actor.neutral, pose(yaw=yaw))[:, :2]
    half_width, half_height = silhouette_halves(np.array([np.cos(yaw), np.sin(yaw)]))
    moved = CENTRE - [0, 7.05, 0.75]
    middle = np.array([moved[0] * np.cos(yaw) + moved[2] * np.sin(yaw), moved[1]]) * [100, -100] + [160, 120]
    far = points[11:17] if yaw > 0 else points[0:6]
    radius = np.hypot((far[:, 0] - middle[0]) / half_width, (far[:, 1] - middle[1]) / half_height) / 100
    assert radius == pytest.approx(np.ones(6), abs=0.006)  # the mesh is a polyhedron: its outline lies a little inside


def test_contour_turns_with_the_picture(studio, actor):
    upright, rolled = (landmark_points(studio, actor, actor.neutral, pose(yaw=0.3, roll=roll))[:17, :2] - [160, 120] for roll in (0, 0.5))
    cosine, sine = np.cos(0.5), np.sin(0.5)
    expected = upright @ np.array([[cosine, -sine], [sine, cosine]])  # y points down: anticlockwise on the screen
    assert np.abs(rolled - expected).max() < 0.01


def test_contour_moves_smoothly_with_yaw(studio, actor):
    track = np.stack([landmark_points(studio, actor, actor.neutral, pose(yaw=yaw))[:17, :2] for yaw in np.linspace(-0.4, 0.4, 81)])
    steps = np.abs(np.diff(track, axis=0)).max((1, 2))
    assert steps.max() < 3 * np.median(steps) + 0.5


def test_points_are_the_projection_of_their_vertices(studio, actor, toy_mesh):
    """Pinhole camera by hand: x' = f X / (d - Z) with f = scale * d."""
    view = pose(yaw=0.4, pitch=-0.2, roll=0.1, distance=10.0)
    found = landmark_points(studio, actor, actor.neutral, view)[38, :2]
    cy, sy, cp, sp, cr, sr = np.cos(0.4), np.sin(0.4), np.cos(-0.2), np.sin(-0.2), np.cos(0.1), np.sin(0.1)
    x, y, z = actor.neutral[toy_mesh.of_base[RIGHT_VERTICES[38][0]]].astype(float)
    x, z = cy * x + sy * z, -sy * x + cy * z
    y, z = cp * y - sp * z, sp * y + cp * z
    x, y = cr * x - sr * y, sr * x + cr * y
    assert found == pytest.approx([160 + 1000 * x / (10 - z), 120 - 1000 * y / (10 - z)], abs=1e-3)


def test_rendered_pixel_at_a_visible_point_shows_its_triangle(studio, actor):
    """The rasteriser and the projection agree to half a pixel: the triangle at the pixel of a visible vertex contains it or touches it."""
    view = pose(yaw=0.2, pitch=0.1)
    points = landmark_points(studio, actor, actor.neutral, view)
    pixels = view.project(actor.neutral @ view.rotation.T)
    index, _, _ = rasterise(np.ascontiguousarray(pixels[:, :2]), np.ascontiguousarray(pixels[:, 2]), studio.solid, 240, 320)
    for landmark in (28, 30, 33, 48, 54, 57):
        x, y = np.rint(points[landmark, :2]).astype(int)
        corners = pixels[studio.solid[index[y, x]], :2]
        distance = np.linalg.norm(corners - points[landmark, :2], axis=1).min()
        assert distance < np.linalg.norm(corners.max(0) - corners.min(0)) + 1


def test_visibility_on_the_ellipsoid_is_the_sign_of_the_normal(studio, actor, tiny):
    yaw = 0.9
    head = view_head(studio, actor, Expression({}, (0.0, 0.0)), pose(yaw=yaw), NOON, 240, 320, 1.0)
    rest = studio.landmarks.inner.on(studio.mesh.rest)
    normals = (rest - CENTRE) / RADII**2
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    towards = normals @ [-np.sin(yaw), 0, np.cos(yaw)]
    clear = np.abs(towards) > 0.25  # nearer to the outline the tolerance decides
    assert clear.sum() > 10
    # Eyeballs of the toy lie inside the head, so only its own curvature hides points.
    assert np.array_equal(head.visible[27:][clear], towards[clear] > 0)


def test_visibility_by_hand():
    buffer = np.full((5, 7), -10.0, np.float32)
    buffer[:, :4] = 2.0  # something near on the left
    points = np.array([[1.0, 2.0], [1.0, 2.0], [6.0, 2.0], [3.0, 2.0], [9.0, 2.0]])
    depth = np.array([2.0, 1.0, 0.0, 0.0, 5.0])
    # on the surface; behind it; free; on its edge (one free pixel beside is enough); outside the picture
    assert visibility(points, depth, buffer, np.full(5, 0.1)).tolist() == [True, False, True, True, False]


def test_brow_points_lie_on_the_painted_brow(studio, actor):
    for side, rows in ((0, slice(0, 5)), (1, slice(5, 10))):
        found = actor.brows.on(studio.mesh.rest)[rows]
        assert found[:, 0] == pytest.approx(actor.look.brow_x[side], abs=1e-3)
        above = found[:, 1] - np.array(actor.look.brow_y[side])
        assert (above > 0).all() and (above < actor.look.brow_half).all()


def test_front_lookup_is_exact(studio):
    points = np.array([[-0.31, 7.02], [0.0, 7.5], [0.412, 7.211]])
    surface = on_front(studio.landmarks, points)
    assert surface.on(studio.mesh.rest)[:, :2] == pytest.approx(points, abs=1e-5)
    with pytest.raises(ValueError, match="front of the face"):
        on_front(studio.landmarks, np.array([[0.7599, 8.1]]))


def test_open_jaw_moves_lower_lip_and_chin_only(studio, actor):
    shut, wide = (
        landmark_points(studio, actor, actor.neutral + studio.units.apply(Expression({"jawOpen": w}, (0, 0))), pose()) for w in (0, 1.0)
    )
    moved = wide[:, 1] - shut[:, 1]
    assert moved[[57, 66, 67]] == pytest.approx(25, abs=1e-2)  # 0.25 dm at 100 px/dm
    assert moved[[27, 30, 37, 44, 51]] == pytest.approx(0, abs=1e-3)
    assert moved[8] == pytest.approx(25, abs=1)


def test_contour_needs_no_more_than_its_candidates(toy_mesh):
    landmarks = build_landmarks(toy_mesh)
    flat = landmarks.fans.on(toy_mesh.rest - np.float32([0, 7.05, 0.75]))
    assert contour(landmarks, flat, np.eye(2)).shape == (17, 3)


def test_the_picture_stays_where_the_points_are_whatever_the_supersampling(studio, actor):
    """A size that is no whole number of samples: the head's outline lies where the finest picture has it, to a twentieth of a pixel."""

    def edges(supersampling: float) -> np.ndarray:
        layer = view_head(studio, actor, Expression({}, (0.0, 0.0)), pose(scale=60.3), NOON, 201, 303, supersampling).layer
        covered = layer[..., 3]
        # Centre and mass of the coverage in the upper half: the outline without the cut through the neck.
        upper = covered[:110]
        return np.array([(upper * np.arange(303)).sum(), (upper.T * np.arange(110)).sum()]) / upper.sum()

    assert edges(1.3) == pytest.approx(edges(4.0), abs=0.05)
