"""Hair with a body: the volume of the hair on the scalp, and a sheet of long hair that hangs around the head."""

from dataclasses import dataclass

import numpy as np

from strrn.render.material import TEXTURE_SCALE, hair_cover
from strrn.render.mesh import MASKS
from strrn.render.rasteriser import vertex_normals

ROWS, COLUMNS = 14, 40
AXIS_Z = 0.35  # the sheet hangs around a vertical axis here


@dataclass(frozen=True)
class HairSheet:
    """vertices: (N, 3) in the actor's space, texture: (N, 3) noise pixels (third unused), triangles: (M, 3), both sides."""

    vertices: np.ndarray
    texture: np.ndarray
    triangles: np.ndarray


def volume(
    vertices: np.ndarray, rest: np.ndarray, triangles: np.ndarray, masks: np.ndarray, hairline: np.ndarray, thickness: float
) -> np.ndarray:
    """Vertices (V, 3) with the scalp raised by up to `thickness` dm where hair grows."""
    cover = hair_cover(hairline, rest)
    rise = np.clip((cover - 0.02) / 0.25, 0, 1) * (masks[:, MASKS.index("ears")] < 0.2)
    rise = rise * rise * (3 - 2 * rise) * thickness
    normals = vertex_normals(np.ascontiguousarray(vertices, np.float32), triangles)
    return (vertices + normals * rise[:, None]).astype(np.float32)


def sample_sheet(rng: np.random.Generator, vertices: np.ndarray, rest: np.ndarray, thickness: float) -> HairSheet:
    """Long hair for a head of neutral vertices (V, 3): from the crown down to chin, shoulders or below, open in front by a random angle."""
    opening = rng.uniform(0.75, 1.35)
    end = rng.uniform(5.75, 6.75)
    angles = np.linspace(opening, 2 * np.pi - opening, COLUMNS)
    skull = (rest[:, 1] > 7.3) & (rest[:, 1] < 8.2)
    around = np.arctan2(vertices[skull, 0], vertices[skull, 2] - AXIS_Z) % (2 * np.pi)
    distance = np.hypot(vertices[skull, 0], vertices[skull, 2] - AXIS_Z)
    beside = np.abs((around[None] - angles[:, None] + np.pi) % (2 * np.pi) - np.pi) < 0.25
    radius = np.where(beside, distance[None], 0.0).max(1)
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
    row, column = np.meshgrid(np.arange(ROWS - 1), np.arange(COLUMNS - 1), indexing="ij")
    a = (row * COLUMNS + column).ravel()
    quads = np.stack([a, a + 1, a + COLUMNS + 1, a + COLUMNS], 1)
    outside = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    triangles = np.concatenate([outside, outside[:, ::-1]])
    return HairSheet(np.float32(vertices_sheet), np.float32(texture), triangles.astype(np.int32))
