"""What stands off the head: hair with a body, a sheet of long hair that hangs around it, a cap or scarf, the brim of a cap."""

from dataclasses import dataclass

import numpy as np
from numba import njit

from strrn.render.material import NOTHING_WORN, TEXTURE_SCALE, Look, covers
from strrn.render.mesh import MASKS
from strrn.render.rasteriser import vertex_normals

ROWS, COLUMNS = 14, 40
BRIM_ROWS, BRIM_COLUMNS = 5, 22
COS_BESIDE = np.cos(0.25)
AXIS_Z = 0.35  # the sheet hangs around a vertical axis here
HAIR_SHEET, CLOTH_SHEET = 100, 101  # group numbers of what is no part of the mesh


@dataclass(frozen=True)
class Sheet:
    """vertices: (N, 3) in the actor's space; texture: (N, 3) noise pixels (third unused); outside: (M, 3) triangles of one side, the other
    is seen as well; group: HAIR_SHEET or CLOTH_SHEET."""

    vertices: np.ndarray
    texture: np.ndarray
    outside: np.ndarray
    group: int


def rise(look: Look, rest: np.ndarray, masks: np.ndarray, hair: float, worn: float) -> np.ndarray:
    """(V, 1) float32: how far the surface stands off the skin under hair and cloth of these thicknesses (dm)."""
    above = np.clip((covers(look, rest) - np.float32([0.02, -0.02])) / np.float32([0.25, 0.08]), 0, 1)
    above = above * above * (3 - 2 * above) * np.float32([hair, worn if look.worn != NOTHING_WORN else 0.0])
    above[:, 0] *= masks[:, MASKS.index("ears")] < 0.2
    return above.max(1, keepdims=True).astype(np.float32)


def volume(vertices: np.ndarray, triangles: np.ndarray, rise: np.ndarray) -> np.ndarray:
    """Vertices (V, 3) moved out along their normals."""
    return vertices + vertex_normals(np.ascontiguousarray(vertices, np.float32), triangles) * rise


def sample_sheet(rng: np.random.Generator, vertices: np.ndarray, rest: np.ndarray, thickness: float) -> Sheet:
    """Long hair for a head of neutral vertices (V, 3): from the crown down to chin, shoulders or below, open in front by a random angle."""
    opening = rng.uniform(0.75, 1.35)
    end = rng.uniform(5.75, 6.75)
    angles = np.linspace(opening, 2 * np.pi - opening, COLUMNS)
    skull = (rest[:, 1] > 7.3) & (rest[:, 1] < 8.2)
    radius = _radius(vertices[skull], angles)
    shift = (vertices[skull] - rest[skull]).mean(0)
    fall = np.linspace(0, 1, ROWS)[:, None]
    top = 7.95 + shift[1]
    y = top + fall * (end - top) * rng.uniform(0.93, 1.0, COLUMNS)[None]
    widen = 1 + rng.uniform(-0.05, 0.25) * fall**1.5
    waves = rng.uniform(0.0, 0.035) * np.sin(fall * rng.uniform(4, 14) + angles[None] * rng.integers(2, 6) + rng.uniform(0, 6.28))
    out = (radius[None] * 0.98 + thickness + 0.02) * widen + waves
    # Over the crown the sheet closes in, so that it grows out of the hair on the scalp.
    out = out * np.sqrt(np.clip((8.45 + shift[1] - y) / 1.1, 0.15, 1))
    vertices_sheet = np.stack([shift[0] + out * np.sin(angles)[None], y, AXIS_Z + out * np.cos(angles)[None]], -1).reshape(-1, 3)
    u = np.broadcast_to((angles * 0.8 * TEXTURE_SCALE * 1.6)[None] + 1000, y.shape)
    texture = np.stack([u, (9 - y) * TEXTURE_SCALE * 0.6, np.zeros_like(y)], -1).reshape(-1, 3)
    return Sheet(np.float32(vertices_sheet), np.float32(texture), _grid(ROWS, COLUMNS), HAIR_SHEET)


def sample_brim(rng: np.random.Generator, vertices: np.ndarray, rest: np.ndarray, edge: float, thickness: float) -> Sheet:
    """The brim of a cap for a head of neutral vertices (V, 3). edge: rest height of the cap's edge over the forehead, dm."""
    angles = np.linspace(-1.15, 1.15, BRIM_COLUMNS)
    height = edge + 0.02
    around = (np.abs(rest[:, 1] - height) < 0.12) & (rest[:, 2] > 0.2)
    shift = (vertices[around] - rest[around]).mean(0)
    reach = rng.uniform(0.35, 0.6) * np.cos(angles / 1.15 * np.pi / 2) ** 0.6
    out = np.linspace(0, 1, BRIM_ROWS)[:, None]
    distance = (_radius(vertices[around], angles) * 0.98 + thickness)[None] + reach[None] * out
    drop, curl = rng.uniform(0.0, 0.25), rng.uniform(0.05, 0.2)
    y = height + shift[1] - drop * out * reach[None] - curl * (angles[None] / 1.15) ** 2 * out
    points = np.stack([shift[0] + distance * np.sin(angles)[None], y, AXIS_Z + distance * np.cos(angles)[None]], -1)
    texture = np.stack([np.broadcast_to(angles * TEXTURE_SCALE, y.shape), -distance * TEXTURE_SCALE, np.zeros_like(y)], -1)
    return Sheet(np.float32(points.reshape(-1, 3)), np.float32(texture.reshape(-1, 3)), _grid(BRIM_ROWS, BRIM_COLUMNS), CLOTH_SHEET)


@njit(cache=True, nogil=True)
def _radius(points, angles):
    """Largest distance of points (N, 3) from the sheets' axis within a quarter of a radian of each of the directions `angles`."""
    largest = np.zeros(len(angles))
    for n in range(len(points)):
        x, z = points[n, 0], points[n, 2] - AXIS_Z
        around, distance = np.arctan2(x, z), np.hypot(x, z)
        for k in range(len(angles)):
            if distance > largest[k] and np.cos(around - angles[k]) > COS_BESIDE:
                largest[k] = distance
    return largest


def _grid(rows: int, columns: int) -> np.ndarray:
    row, column = np.meshgrid(np.arange(rows - 1), np.arange(columns - 1), indexing="ij")
    a = (row * columns + column).ravel()
    quads = np.stack([a, a + 1, a + columns + 1, a + columns], 1)
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.int32)
