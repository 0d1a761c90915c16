"""Light: a coloured sky, up to three lamps with soft shadows, and the ambient occlusion of the head."""

from typing import NamedTuple

import numpy as np
from numba import njit

from strrn.render.parameters import ViewParameters
from strrn.render.plain import plain
from strrn.render.rasteriser import bounds, rasterise, vertex_normals

SHADOW_SIZE = 224
OCCLUSION_DIRECTIONS = 120
SHADOW_LAMPS = 2  # lamps that cast shadows; the third shines from behind
WEAK = 0.25  # a lamp below this share of the first casts none that one could see


class Lights(NamedTuple):
    """Floats and tuples of floats. sky, ground: (3,) linear RGB irradiance from above and below. up: (3,) direction of the sky.

    directions: (N, 3) unit vectors to the lamps, colours: (N, 3) linear RGB; the first SHADOW_LAMPS cast shadows of strength `shadow`
    (0..1).
    """

    sky: tuple
    ground: tuple
    up: tuple
    directions: tuple
    colours: tuple
    shadow: float


class ShadowMap(NamedTuple):
    """Camera of a shadow map: axes (3, 3) the lamp's x, y and direction; scale and centre lead to pixels of the map."""

    axes: tuple
    centre: tuple
    scale: float
    bias: float


def sample_lights(rng: np.random.Generator, view: ViewParameters) -> Lights:
    """Light as in photographs of people: lamp from above the eyes, mostly from the front half, a weaker second, a rim now and then.

    Colours are those of black bodies between candle and blue sky, after a camera's white balance took most of it away.
    """
    key = rng.uniform(0.35, 0.35 + 1.1 * view.contrast)
    fill = rng.uniform(0.35, 0.9)
    warm = rng.normal(0, 0.06)
    tint = np.array([1 + warm, 1.0, 1 - warm])
    sky = fill * tint[::-1] * rng.uniform(0.96, 1.04, 3)
    ground = sky * rng.uniform(0.25, 0.7) * np.array([1.05, 1.0, 0.92])
    azimuth, elevation = np.clip(rng.normal(0, 0.75), -1.9, 1.9), np.clip(rng.normal(0.5, 0.35), -0.3, 1.25)
    directions = [_direction(azimuth, elevation)]
    colours = [key * tint * rng.uniform(0.95, 1.05, 3)]
    directions.append(_direction(-azimuth + rng.normal(0, 0.5), rng.normal(0.2, 0.3)))
    colours.append(key * rng.uniform(0.0, view.second_lamp) * rng.uniform(0.9, 1.1, 3))
    directions.append(_direction(rng.choice([-1, 1]) * rng.uniform(1.9, 2.6), rng.uniform(0, 0.8)))
    colours.append(key * rng.uniform(0.3, 1.0) * (rng.random() < view.rim_lamp) * rng.uniform(0.9, 1.1, 3))
    up = np.array([rng.normal(0, 0.25), 1.0, rng.normal(0.25, 0.2)])
    return Lights(
        plain(sky),
        plain(ground),
        plain(up / np.linalg.norm(up)),
        plain(np.array(directions)),
        plain(np.array(colours)),
        rng.uniform(*view.shadow),
    )


def _direction(azimuth: float, elevation: float) -> np.ndarray:
    return np.array([np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)])


def look_along(direction: np.ndarray) -> np.ndarray:
    """(3, 3) float32: rows are x, y and the unit direction itself, right-handed."""
    z = np.asarray(direction, np.float64)
    z = z / np.linalg.norm(z)
    x = np.array([z[2], 0.0, -z[0]] if abs(z[1]) < 0.95 else [z[1], -z[0], 0.0])  # across the vertical, or across the line of sight
    x /= np.linalg.norm(x)
    return np.float32([x, np.cross(z, x), z])


def shadow_map(vertices: np.ndarray, triangles: np.ndarray, direction: np.ndarray, size: int = SHADOW_SIZE) -> tuple[ShadowMap, np.ndarray]:
    """What a far lamp in `direction` sees of posed vertices (V, 3): the map's camera and its depths (size, size)."""
    axes = look_along(direction)
    seen = vertices @ axes.T
    low, high = bounds(seen)
    centre = (low + high) / 2
    scale = float((size - 3) / (high - low).max())
    points = (seen[:, :2] - centre) * np.float32([scale, -scale]) + np.float32((size - 1) / 2)
    _, _, depth = rasterise(np.ascontiguousarray(points, np.float32), np.ascontiguousarray(seen[:, 2]), triangles, size, size)
    return ShadowMap(plain(axes), plain(centre), scale, 1.5 / scale + 0.02), depth


def shadow_maps(vertices: np.ndarray, triangles: np.ndarray, lights: Lights, size: int) -> tuple[tuple[ShadowMap, ...], np.ndarray]:
    """shadow_map for each of the first SHADOW_LAMPS; a lamp too weak for a visible shadow gets one in which nothing is."""
    strength = [sum(colour) for colour in lights.colours[:SHADOW_LAMPS]]
    maps, depths = [], np.full((SHADOW_LAMPS, size, size), np.float32(-1e30))
    for lamp in range(SHADOW_LAMPS):
        if lamp == 0 or strength[lamp] > WEAK * strength[0]:
            camera, depths[lamp] = shadow_map(vertices, triangles, np.array(lights.directions[lamp]), size)
        maps.append(camera)
    return tuple(maps), depths


@njit(inline="always", fastmath=True)
def lit_share(shadow, depth, px, py, pz):
    """Share (0..1) of the four nearest pixels of the shadow map that does not hide the point from the lamp."""
    axes = shadow.axes
    size = depth.shape[0]
    sx = axes[0][0] * px + axes[0][1] * py + axes[0][2] * pz - shadow.centre[0]
    sy = axes[1][0] * px + axes[1][1] * py + axes[1][2] * pz - shadow.centre[1]
    sz = axes[2][0] * px + axes[2][1] * py + axes[2][2] * pz + shadow.bias
    x = sx * shadow.scale + (size - 1) * 0.5
    y = -sy * shadow.scale + (size - 1) * 0.5
    x0, y0 = int(np.floor(x)), int(np.floor(y))
    fx, fy = x - x0, y - y0
    lit = 0.0
    for dy in range(2):
        for dx in range(2):
            u = min(max(x0 + dx, 0), size - 1)
            v = min(max(y0 + dy, 0), size - 1)
            if sz >= depth[v, u]:
                lit += (fx if dx else 1.0 - fx) * (fy if dy else 1.0 - fy)
    return lit


@njit(cache=True, fastmath=True, nogil=True)
def _lit_shares(shadow, depth, points):
    shares = np.empty(points.shape[0], np.float32)
    for v in range(points.shape[0]):
        shares[v] = lit_share(shadow, depth, points[v, 0], points[v, 1], points[v, 2])
    return shares


def ambient_occlusion(vertices: np.ndarray, triangles: np.ndarray, num_directions: int = OCCLUSION_DIRECTIONS) -> np.ndarray:
    """(V,) float32 in 0..1: cosine-weighted share of directions from which each vertex can be seen (Fibonacci sphere of directions)."""
    normals = vertex_normals(np.float32(vertices), triangles)
    seen, weight = np.zeros(len(vertices)), np.full(len(vertices), 1e-6)
    for number in range(num_directions):
        y = 1 - 2 * (number + 0.5) / num_directions
        angle = number * np.pi * (3 - np.sqrt(5))
        direction = np.array([np.sqrt(1 - y * y) * np.cos(angle), y, np.sqrt(1 - y * y) * np.sin(angle)])
        lamp, depth = shadow_map(np.float32(vertices), triangles, direction)
        cosine = np.maximum(normals @ direction, 0)
        lit = _lit_shares(lamp, depth, np.float32(vertices))
        seen += cosine * lit
        weight += cosine
    return np.float32(np.clip(seen / weight, 0, 1))
