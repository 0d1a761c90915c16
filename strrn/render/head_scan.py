"""A photographic test face with exact truth: the textured head scan of menpo3d (BSD-3), moved before a camera.

Its 68 points are fixed on the surface, the contour too. The visible contour of a turned head runs elsewhere; so the head turns little
(YAW_LIMIT), and a contour point that the head itself hides is marked not valid: there the fixed point and the visible contour differ.
The scan's annotators set the contour points unevenly (16 to 29 % of the interocular distance apart); they are spread evenly along the
same line, as in 300-W.
The scan's own photographic light is kept, lamps only modulate it.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from strrn.render import light, rasteriser
from strrn.render.camera import Pose
from strrn.render.clips import Frame, Performer, film, sample_shot
from strrn.render.compiled import njit_inlining
from strrn.render.landmarks import CONTOUR_POINTS, NUM_LANDMARKS, spread_contour, visibility
from strrn.render.light import SHADOW_SIZE, Lights, lit_share, shadow_maps
from strrn.render.noise import grain_bank, noise_bank
from strrn.render.obj import read_obj
from strrn.render.parameters import MotionParameters, RenderParameters
from strrn.render.rasteriser import NOTHING, finer, rasterise, to_samples, vertex_normals
from strrn.render.scene import HeadView

# Points of james.ljson in the order of 300-W: it lists contour, eyes, brow, nose, brow, mouth.
ORDER = [*range(17), *range(29, 34), *range(43, 48), *range(34, 43), *range(17, 29), *range(48, 68)]
MILLIMETRES = 100.0  # per dm
YAW_LIMIT = 0.3
TEXTURE_SHRINK = 3  # the photograph has about four times the resolution that clips have
DEPTH_TOLERANCE = 0.04  # dm
SKIN = np.array([0.5, 0.33, 0.25])  # for hands that pass, linear RGB


@dataclass(frozen=True)
class Scan:
    """vertices: (V, 3) dm, looking along z, about the head's origin. triangles: (T, 3). corners: (T, 3, 2) texture pixels.

    texture: (h, w, 3) linear RGB. landmarks: (68, 3).
    """

    vertices: np.ndarray
    triangles: np.ndarray
    corners: np.ndarray
    texture: np.ndarray
    landmarks: np.ndarray


def load_scan(folder: Path) -> Scan:
    """james.obj, james.jpg and james.ljson from a folder. Raises FileNotFoundError or ValueError naming the file."""
    folder = Path(folder)
    for name in ("james.obj", "james.jpg", "james.ljson"):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder / name} is missing: run the download stage (python -m strrn.stages.download)")
    photograph = cv2.imread(str(folder / "james.jpg"), cv2.IMREAD_COLOR)
    if photograph is None:
        raise ValueError(f"{folder / 'james.jpg'} is not a picture: run the download stage again")
    height, width = photograph.shape[0] // TEXTURE_SHRINK, photograph.shape[1] // TEXTURE_SHRINK
    small = cv2.resize(photograph, (width, height), interpolation=cv2.INTER_AREA)[..., ::-1]
    mesh = read_obj(folder / "james.obj")
    points = json.loads((folder / "james.ljson").read_text(encoding="utf-8"))["groups"]["LJSON"]["landmarks"]["points"]
    if len(points) != NUM_LANDMARKS:
        raise ValueError(f"{folder / 'james.ljson'} has {len(points)} points, expected {NUM_LANDMARKS}")
    landmarks = np.array(points)[ORDER] / MILLIMETRES
    axes, origin = _upright(landmarks)
    landmarks = (landmarks - origin) @ axes.T
    landmarks[:CONTOUR_POINTS] = spread_contour(landmarks[:CONTOUR_POINTS])
    uv = mesh.texture[mesh.texture_faces]
    pixels = np.stack([uv[..., 0] * width - 0.5, (1 - uv[..., 1]) * height - 0.5], -1)
    return Scan(
        np.float32((mesh.vertices / MILLIMETRES - origin) @ axes.T),
        mesh.faces,
        np.float32(pixels),
        np.ascontiguousarray((small / np.float32(255)) ** np.float32(2.2), np.float32),
        np.float32(landmarks),
    )


def _upright(landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Axes (3, 3) of the face (x from eye to eye, y up the middle, z forward) and its origin, behind the middle of the points."""
    right, left, mouth = landmarks[36:42].mean(0), landmarks[42:48].mean(0), landmarks[48:60].mean(0)
    x = (left - right) / np.linalg.norm(left - right)
    up = (right + left) / 2 - mouth
    up = up - (up @ x) * x
    y = up / np.linalg.norm(up)
    axes = np.stack([x, y, np.cross(x, y)])
    return axes, landmarks[17:].mean(0) - 0.6 * axes[2]


@njit_inlining(light, rasteriser)
def _shade(index, weights, triangles, corners, texture, normals, posed, lights, shadows, shadow_depths):
    """(H, W, 4) float32: texture times a modulation by the lights about 1."""
    height, width = index.shape
    picture = np.zeros((height, width, 4), np.float32)
    rows, columns = texture.shape[0], texture.shape[1]
    lit = np.empty(len(lights.directions))
    for row in range(height):
        for column in range(width):
            t = index[row, column]
            if t == NOTHING:
                continue
            wa, wb = np.float64(weights[row, column, 0]), np.float64(weights[row, column, 1])
            w = (wa, wb, 1.0 - wa - wb)
            u, v, nx, ny, nz, px, py, pz = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
            for k in range(3):
                vertex = triangles[t, k]
                u += w[k] * corners[t, k, 0]
                v += w[k] * corners[t, k, 1]
                nx += w[k] * normals[vertex, 0]
                ny += w[k] * normals[vertex, 1]
                nz += w[k] * normals[vertex, 2]
                px += w[k] * posed[vertex, 0]
                py += w[k] * posed[vertex, 1]
                pz += w[k] * posed[vertex, 2]
            u, v = min(max(u, 0.0), columns - 1.001), min(max(v, 0.0), rows - 1.001)
            x0, y0 = int(u), int(v)
            fx, fy = u - x0, v - y0
            above = 0.5 + 0.5 * (nx * lights.up[0] + ny * lights.up[1] + nz * lights.up[2])
            lit[:] = 1.0
            for lamp in range(len(shadows)):
                lit[lamp] -= lights.shadow * (1.0 - lit_share(shadows[lamp], shadow_depths[lamp], px, py, pz))
            for k in range(3):
                colour = (texture[y0, x0, k] * (1 - fx) + texture[y0, x0 + 1, k] * fx) * (1 - fy)
                colour += (texture[y0 + 1, x0, k] * (1 - fx) + texture[y0 + 1, x0 + 1, k] * fx) * fy
                arriving = lights.sky[k] * above + lights.ground[k] * (1.0 - above) + 0.3
                for lamp in range(len(lights.directions)):
                    direction = lights.directions[lamp]
                    cosine = max((nx * direction[0] + ny * direction[1] + nz * direction[2] + 0.3) / 1.3, 0.0)
                    arriving += lights.colours[lamp][k] * cosine * lit[lamp]
                picture[row, column, k] = colour * arriving
            picture[row, column, 3] = 1.0
    return picture


def view_scan(scan: Scan, pose: Pose, lights: Lights, height: int, width: int, supersampling: float) -> HeadView:
    """The scan in a picture, its points and which of them can be seen."""
    posed = np.ascontiguousarray(scan.vertices @ pose.rotation.T, np.float32)
    pixels = pose.project(posed)
    fine_size, step = finer((height, width), supersampling)
    fine = to_samples(pixels, step)
    index, weights, buffer = rasterise(fine, np.ascontiguousarray(pixels[:, 2]), scan.triangles, *fine_size)
    normals = vertex_normals(posed, scan.triangles)
    shadows, depths = shadow_maps(posed, scan.triangles, lights, SHADOW_SIZE)
    shaded = _shade(index, weights, scan.triangles, scan.corners, scan.texture, normals, posed, lights, shadows, depths)
    layer = cv2.resize(shaded, (width, height), interpolation=cv2.INTER_AREA)
    points = scan_points(scan, pose)
    visible = visibility(to_samples(points, step), points[:, 2], buffer, np.full(len(points), DEPTH_TOLERANCE))
    return HeadView(layer, points[:, :2].astype(np.float32), visible)


def scan_points(scan: Scan, pose: Pose) -> np.ndarray:
    """(68, 3) pixel x, pixel y, depth."""
    return pose.project(scan.landmarks @ pose.rotation.T)


def valid_points(visible: np.ndarray) -> np.ndarray:
    """(68,) bool: all but the contour points that the head hides from the camera."""
    valid = np.ones(len(visible), bool)
    valid[:CONTOUR_POINTS] = visible[:CONTOUR_POINTS]
    return valid


def render_scan_clip(
    scan: Scan, parameters: RenderParameters, motion: MotionParameters, seed: np.random.SeedSequence, num_frames: int
) -> Iterator[tuple[Frame, np.ndarray]]:
    """Frames of the moving scan and the validity of their points: a pure function of the parameters and the seed."""
    rng = np.random.default_rng(seed)
    bank = noise_bank()
    clips = parameters.clips
    face = float(rng.uniform(*clips.face_pixels))
    size = np.ptp(scan.landmarks[:, :2], axis=0).max()
    centre = (clips.width * rng.uniform(0.44, 0.56), clips.height * rng.uniform(0.46, 0.54))
    rest = Pose(0.0, 0.0, 0.0, centre, float(face / size), float(rng.uniform(9, 20)))
    shot = sample_shot(rng, parameters, motion, num_frames, rest, face, SKIN, bank, YAW_LIMIT)
    self_hidden: list[np.ndarray] = []

    def points(time: float, pose: Pose) -> np.ndarray:
        return scan_points(scan, pose)[:, :2]

    def view(time: float, pose: Pose, lights: Lights) -> HeadView:
        head = view_scan(scan, pose, lights, clips.height, clips.width, parameters.supersampling)
        self_hidden.append(head.visible)
        return head

    for frame in film(Performer(points, view, SKIN), shot, num_frames, rng, bank, grain_bank()):
        yield frame, valid_points(self_hidden[-1])
