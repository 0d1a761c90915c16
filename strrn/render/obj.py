"""Wavefront OBJ files: as much of them as the face mesh and the head scan use."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class ObjFile:
    """vertices: (V, 3). texture: (T, 2) coordinates, y up. faces, texture_faces: (F, N) indices into them, N corners a face.
    groups: (F,) the name of each face's group."""

    vertices: np.ndarray
    texture: np.ndarray
    faces: np.ndarray
    texture_faces: np.ndarray
    groups: np.ndarray


def read_obj(path: Path) -> ObjFile:
    """All faces must have texture coordinates and the same number of corners."""
    vertices, texture, faces, texture_faces, groups, group = [], [], [], [], [], ""
    for line in path.read_text(encoding="utf-8").splitlines():
        kind, _, rest = line.partition(" ")
        match kind:
            case "v":
                vertices.append([float(value) for value in rest.split()[:3]])
            case "vt":
                texture.append([float(value) for value in rest.split()[:2]])
            case "g":
                group = rest.strip()
            case "f":
                corners = [corner.split("/") for corner in rest.split()]
                faces.append([int(corner[0]) - 1 for corner in corners])
                texture_faces.append([int(corner[1]) - 1 for corner in corners])
                groups.append(group)
    return ObjFile(np.array(vertices), np.array(texture), np.array(faces, np.int32), np.array(texture_faces, np.int32), np.array(groups))
