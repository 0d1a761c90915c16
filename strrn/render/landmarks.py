"""The 68 points of 300-W on the head mesh, and which of them can be seen.

Inner points are vertices of base.obj (or the mean of two); brow points lie on the painted brow; contour points follow the visible contour,
as the annotators of 300-W did: from a centre inside the head, fans of rays are cast at fixed angles around the face, each fan giving
candidate points from the cheek over the jaw to the neck, and the point of a fan is the one that lies farthest out in the picture.
docs/renderer.md tells what was placed where and why.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit

from strrn.render.mesh import BODY, MASKS, Mesh
from strrn.render.rasteriser import rasterise

NUM_LANDMARKS = 68
# Landmark -> vertices of base.obj of the person's right half (image left) and the middle; several stand for their mean, and three may be
# different ones.
RIGHT_VERTICES = {
    27: (132,),
    28: (131, 135),
    29: (164,),
    30: (294, 5134),
    31: (286, 320, 326),
    32: (313,),
    33: (317,),
    36: (*6 * (21,), 41, 4848),
    37: (4848, 4848, 4849),
    38: (4865,),
    39: (66, 66, 50),
    40: (*6 * (47,), 4865),
    41: (*4 * (41,), 36, 36, 4848),
    48: (425,),
    49: (5354,),
    50: (450, 456),
    51: (455,),
    57: (492,),
    58: (486,),
    59: (406, 480),
    60: (446,),
    61: (470, 471, 474),
    62: (474,),
    66: (493,),
    67: (481, 487, 487),
}
MIRRORED = {
    34: 32,
    35: 31,
    42: 39,
    43: 38,
    44: 37,
    45: 36,
    46: 41,
    47: 40,
    52: 50,
    53: 49,
    54: 48,
    55: 59,
    56: 58,
    63: 61,
    64: 60,
    65: 67,
}
# The contour's fans: centre in the rest pose, angles around the face (0 = the person's right, 90 = down) and away from the front.
FAN_CENTRE = np.array([0.0, 7.03, 0.70])
FAN_START = -22.0
NUM_FANS = 65
FAN_FRONT, FAN_BACK, FAN_STEP = 66.0, -50.0, 2.0
FAN_END = 0.65, 0.6  # dm; z at which a fan ends beside the face, and how much further in front the middle one does
FAN_BEYOND = 4  # candidates beyond the widest that belong to the face
FAN_INNER = 0.35  # dm; nearer surfaces are inside the mouth
CONTOUR_POINTS = 17
# Brow: where its middle line runs in the rest pose, outer to inner end, for the person's right (negative x).
BROW_X = np.array([0.558, 0.467, 0.350, 0.231, 0.117])
BROW_Y = np.array([7.426, 7.505, 7.530, 7.520, 7.479])
BROW_ABOVE = 0.8  # landmarks lie this share of the half width above the middle line: annotators mark the upper edge
DEPTH_TOLERANCE = 0.045  # dm; a point this little behind the nearest surface still counts as visible (lids and lips fold)


@dataclass(frozen=True)
class SurfacePoints:
    """N points that move with the mesh: vertices (N, 3) int32 and weights (N, 3) float32 (barycentric)."""

    vertices: np.ndarray
    weights: np.ndarray

    def on(self, positions: np.ndarray) -> np.ndarray:
        """Where they are for vertex positions (V, D): (N, D)."""
        return _weighted(self.vertices, self.weights, positions)


@njit(cache=True, fastmath=True, nogil=True)
def _weighted(vertices, weights, positions):
    points = np.zeros((len(vertices), positions.shape[1]), np.float32)
    for n in range(len(vertices)):
        for k in range(3):
            weight = weights[n, k]
            for d in range(positions.shape[1]):
                points[n, d] += weight * positions[vertices[n, k], d]
    return points


@dataclass(frozen=True)
class LandmarkMap:
    """Landmarks of a mesh. inner: points 27..67. fans: (F * C) candidates of the contour, F fans of C each; lengths: (F,) used of C.

    outward: (F, 2) unit directions of the fans in the face's own plane, y up. front: rest-pose lookup of triangles for `on_front`.
    """

    inner: SurfacePoints
    fans: SurfacePoints
    lengths: np.ndarray
    outward: np.ndarray
    front: np.ndarray
    front_triangles: np.ndarray
    rest: np.ndarray


FRONT_SCALE, FRONT_SIZE, FRONT_CENTRE = 420.0, 640, np.array([0.0, 7.4])


def build_landmarks(mesh: Mesh) -> LandmarkMap:
    body = mesh.triangles[mesh.group == BODY]
    inside, ears = (mesh.masks[:, MASKS.index(name)][body].max(1) > 0.3 for name in ("inside-mouth", "ears"))
    fans, lengths, outward = _cast_fans(mesh.rest.astype(np.float64), body[~inside], ears[~inside])
    points = (mesh.rest[:, :2] - FRONT_CENTRE) * [FRONT_SCALE, -FRONT_SCALE] + (FRONT_SIZE - 1) / 2
    front, _, _ = rasterise(np.float32(points), np.ascontiguousarray(mesh.rest[:, 2]), body, FRONT_SIZE, FRONT_SIZE)
    return LandmarkMap(_inner_points(mesh), fans, lengths, outward, front, body, mesh.rest)


def _inner_points(mesh: Mesh) -> SurfacePoints:
    vertices, weights = np.zeros((41, 3), np.int32), np.zeros((41, 3), np.float32)
    for row, landmark in enumerate(range(27, NUM_LANDMARKS)):
        names = RIGHT_VERTICES[MIRRORED.get(landmark, landmark)]
        different, counts = np.unique(names, return_counts=True)
        ours = mesh.of_base[different]
        if landmark in MIRRORED:
            ours = _mirror(mesh, ours)
        vertices[row, : len(ours)] = ours
        weights[row, : len(ours)] = counts / len(names)
    return SurfacePoints(vertices, weights)


def _mirror(mesh: Mesh, vertices: np.ndarray) -> np.ndarray:
    """For some body vertices, the nearest body vertex to the mirrored place: the base mesh is symmetric but for its last digits."""
    body = np.unique(mesh.triangles[mesh.group == BODY])
    mirrored = mesh.base[vertices].astype(np.float64) * [-1, 1, 1]
    return body[np.linalg.norm(mesh.base[body][None] - mirrored[:, None], axis=-1).argmin(1)]


def _cast_fans(rest: np.ndarray, triangles: np.ndarray, ears: np.ndarray) -> tuple[SurfacePoints, np.ndarray, np.ndarray]:
    corner = rest[triangles[:, 0]]
    first, second = rest[triangles[:, 1]] - corner, rest[triangles[:, 2]] - corner
    angles = np.radians(np.linspace(FAN_START, 180 - FAN_START, NUM_FANS))
    tilts = np.radians(np.arange(FAN_FRONT, FAN_BACK - FAN_STEP / 2, -FAN_STEP))
    vertices = np.zeros((NUM_FANS, len(tilts), 3), np.int32)
    weights = np.zeros((NUM_FANS, len(tilts), 3), np.float32)
    lengths = np.zeros(NUM_FANS, np.int32)
    for fan, angle in enumerate(angles):
        sideways = np.array([-np.cos(angle), -np.sin(angle), 0])
        radii = []
        for tilt in tilts:
            direction = np.cos(tilt) * sideways + np.array([0, 0, np.sin(tilt)])
            triangle, u, v, distance = _leave(FAN_CENTRE, direction, corner, first, second)
            if triangle < 0:  # a crack between two triangles, or an eye
                continue
            if ears[triangle]:
                break
            point = FAN_CENTRE + distance * direction
            # The throat behind the chin is no contour of the face.
            if point[2] < FAN_END[0] + FAN_END[1] * max(0.0, np.sin(angle)) ** 2:
                break
            vertices[fan, len(radii)], weights[fan, len(radii)] = triangles[triangle], (1 - u - v, u, v)
            radii.append(float((point - FAN_CENTRE) @ sideways))
        lengths[fan] = _end_of_face(np.array(radii))
    outward = np.stack([-np.cos(angles), -np.sin(angles)], 1)
    return SurfacePoints(vertices.reshape(-1, 3), weights.reshape(-1, 3)), lengths, outward


def _end_of_face(radii: np.ndarray) -> int:
    """How many candidates of a fan belong to the face: a few beyond its widest, before neck or ear widen it again."""
    widest = 0
    for number in range(1, len(radii)):
        if radii[number] > radii[widest]:
            widest = number
        elif radii[number] < radii[widest] - 0.05:
            break
    return min(len(radii), widest + FAN_BEYOND)


@njit(cache=True)
def _leave(origin, direction, corner, first, second):
    """Nearest outward triangle beyond FAN_INNER that a ray from inside leaves through (Moeller-Trumbore): index or -1, u, v, distance."""
    found, found_u, found_v, nearest = -1, 0.0, 0.0, 1e30
    for t in range(corner.shape[0]):
        e, f, d = first[t], second[t], direction
        px, py, pz = d[1] * f[2] - d[2] * f[1], d[2] * f[0] - d[0] * f[2], d[0] * f[1] - d[1] * f[0]
        area = e[0] * px + e[1] * py + e[2] * pz
        if area > -1e-12:  # a ray that leaves sees the triangle from behind
            continue
        sx, sy, sz = origin[0] - corner[t, 0], origin[1] - corner[t, 1], origin[2] - corner[t, 2]
        u = (sx * px + sy * py + sz * pz) / area
        if u < -1e-6 or u > 1 + 1e-6:
            continue
        qx, qy, qz = sy * e[2] - sz * e[1], sz * e[0] - sx * e[2], sx * e[1] - sy * e[0]
        v = (d[0] * qx + d[1] * qy + d[2] * qz) / area
        distance = (f[0] * qx + f[1] * qy + f[2] * qz) / area
        if v >= -1e-6 and u + v <= 1 + 1e-6 and FAN_INNER < distance < nearest:
            found, found_u, found_v, nearest = t, u, v, distance
    return found, found_u, found_v, nearest


def on_front(landmarks: LandmarkMap, points: np.ndarray) -> SurfacePoints:
    """Points (N, 2) of the rest pose's front view, x and y in dm, as points on the mesh. Raises ValueError beside the face."""
    pixels = np.rint((points - FRONT_CENTRE) * [FRONT_SCALE, -FRONT_SCALE] + (FRONT_SIZE - 1) / 2).astype(int)
    if (pixels < 0).any() or (pixels >= FRONT_SIZE).any() or (landmarks.front[pixels[:, 1], pixels[:, 0]] < 0).any():
        raise ValueError(f"points {points[:3].tolist()}… do not lie on the front of the face")
    vertices = landmarks.front_triangles[landmarks.front[pixels[:, 1], pixels[:, 0]]]
    corners = landmarks.rest[vertices][:, :, :2].astype(np.float64)
    matrix = np.concatenate([corners.transpose(0, 2, 1), np.ones((len(points), 1, 3))], 1)
    weights = np.linalg.solve(matrix, np.concatenate([points, np.ones((len(points), 1))], 1)[..., None])[..., 0]
    return SurfacePoints(vertices, weights.astype(np.float32))


def contour(landmarks: LandmarkMap, projected: np.ndarray, roll: np.ndarray) -> np.ndarray:
    """The visible contour of the face: points 0..16 in the picture, y up, and their depth (17, 3).

    projected: (F * C, 3) candidates in the picture and their depth. roll: (2, 2) rotation of the face in the picture's plane.
    The best candidate of a fan is refined between its neighbours, so that the contour moves smoothly when the head turns.
    """
    outward = np.ascontiguousarray(landmarks.outward @ roll.T)
    return spread_contour(_outermost(projected.reshape(len(outward), -1, 3), landmarks.lengths, outward))


@njit(cache=True, nogil=True)
def _outermost(candidates, lengths, outward):
    """The point (F, 3) of every fan that lies farthest out, on a parabola through the best candidate and its neighbours."""
    chosen = np.empty((len(lengths), 3))
    for fan in range(len(lengths)):
        x, y = outward[fan]
        best, reach = 0, -np.inf
        for c in range(lengths[fan]):
            here = candidates[fan, c, 0] * x + candidates[fan, c, 1] * y
            if here > reach:
                best, reach = c, here
        shift = 0.0
        if 0 < best < lengths[fan] - 1:
            before = candidates[fan, best - 1, 0] * x + candidates[fan, best - 1, 1] * y
            after = candidates[fan, best + 1, 0] * x + candidates[fan, best + 1, 1] * y
            curve = before - 2 * reach + after
            if curve < -1e-12:
                shift = min(max(0.5 * (before - after) / curve, -0.5), 0.5)
        part = abs(shift)
        other = best if part == 0.0 else best + (-1 if shift < 0 else 1)
        for k in range(3):
            chosen[fan, k] = (1 - part) * candidates[fan, best, k] + part * candidates[fan, other, k]
    return chosen


def spread_contour(line: np.ndarray) -> np.ndarray:
    """Points 0..16 (17, 3) on a polyline (N, 3) from ear over chin to ear, N odd with the chin in the middle.

    300-W spreads them evenly over each half, measured in the picture's plane.
    """
    middle, half = len(line) // 2, CONTOUR_POINTS // 2
    right, left = _spread(line[: middle + 1], half + 1), _spread(line[middle:], half + 1)
    return np.concatenate([right, left[1:]])


@njit(cache=True, nogil=True)
def _spread(line, count):
    """`count` points evenly along a polyline (N, 3), measured in the picture's plane."""
    along = np.zeros(len(line))
    for n in range(1, len(line)):
        along[n] = along[n - 1] + np.hypot(line[n, 0] - line[n - 1, 0], line[n, 1] - line[n - 1, 1])
    at = np.linspace(0, along[-1], count)
    spread = np.empty((count, 3))
    for k in range(3):
        spread[:, k] = np.interp(at, along, line[:, k])
    return spread


def visibility(points: np.ndarray, depth: np.ndarray, buffer: np.ndarray, tolerance: np.ndarray) -> np.ndarray:
    """(N,) bool: can the point be seen, in the pixel where it lies or beside it?

    points: (N, 2) pixels of the depth buffer (H, W); depth: (N,) of the points themselves;
    tolerance: (N,), how far behind the nearest surface they may lie. One free pixel in the 3 x 3 around it is enough,
    so a point on the contour is not hidden by the face that it bounds. Points outside the picture are not visible.
    """
    return _seen(np.rint(points).astype(np.int64), depth, buffer, tolerance)


@njit(cache=True, nogil=True)
def _seen(pixels, depth, buffer, tolerance):
    height, width = buffer.shape
    seen = np.zeros(len(pixels), np.bool_)
    for number in range(len(pixels)):
        x, y = pixels[number]
        if not (0 <= x < width and 0 <= y < height):
            continue
        for row in range(max(y - 1, 0), min(y + 2, height)):
            for column in range(max(x - 1, 0), min(x + 2, width)):
                if buffer[row, column] <= depth[number] + tolerance[number]:
                    seen[number] = True
    return seen
