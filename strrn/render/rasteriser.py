"""A z-buffer rasteriser (numba): which triangle each pixel sees, and where in it."""

import numpy as np
from numba import njit

NOTHING = -1


@njit(cache=True, fastmath=True, nogil=True)
def rasterise(points, depth, triangles, height, width):
    """Nearest triangle of every pixel.

    points: (V, 2) float32, x and y in pixels (y down, integer = pixel centre). depth: (V,) float32, larger is nearer.
    triangles: (T, 3) int32, counter-clockwise as seen by a viewer whose y axis points up; the others are culled.
    Returns index (height, width) int32 with NOTHING where no triangle is, weights (height, width, 2) float32 (barycentric, of the first
    two corners; undefined where nothing is) and the depth buffer (height, width) float32. Weights are affine in the picture: triangles are
    far smaller than their distance.
    """
    index = np.full((height, width), NOTHING, np.int32)
    weights = np.empty((height, width, 2), np.float32)
    buffer = np.full((height, width), np.float32(-1e30), np.float32)
    one, least = np.float32(1.0), np.float32(-1e-5)  # Python's own floats would make everything double
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ax, ay, bx, by, cx, cy = points[a, 0], points[a, 1], points[b, 0], points[b, 1], points[c, 0], points[c, 1]
        area = (by - cy) * (ax - cx) + (cx - bx) * (ay - cy)
        if area > -1e-9:
            continue
        y0 = max(0, int(np.ceil(min(ay, by, cy))))
        y1 = min(height - 1, int(np.floor(max(ay, by, cy))))
        x0 = max(0, int(np.ceil(min(ax, bx, cx))))
        x1 = min(width - 1, int(np.floor(max(ax, bx, cx))))
        if y1 < y0 or x1 < x0:
            continue
        inverse = one / area
        across_a, across_b = (by - cy) * inverse, (cy - ay) * inverse  # how the weights change from pixel to pixel
        down_a, down_b = (cx - bx) * inverse, (ax - cx) * inverse
        depth_a, depth_b, depth_c = depth[a] - depth[c], depth[b] - depth[c], depth[c]
        x, y = np.float32(x0) - cx, np.float32(y0) - cy
        row_a, row_b = across_a * x + down_a * y, across_b * x + down_b * y
        for row in range(y0, y1 + 1):
            wa, wb = row_a, row_b
            for column in range(x0, x1 + 1):
                if wa >= least and wb >= least and wa + wb <= one - least:
                    z = wa * depth_a + wb * depth_b + depth_c
                    if z > buffer[row, column]:
                        buffer[row, column] = z
                        index[row, column] = t
                        weights[row, column, 0] = wa
                        weights[row, column, 1] = wb
                wa += across_a
                wb += across_b
            row_a += down_a
            row_b += down_b
    return index, weights, buffer


@njit(cache=True, fastmath=True, nogil=True)
def vertex_normals(vertices, triangles):
    """Unit normals (V, 3) float32: area-weighted mean of the triangles around a vertex (V, 3); zero where there is no triangle."""
    normals = np.zeros(vertices.shape, np.float32)
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ux, uy, uz = vertices[b, 0] - vertices[a, 0], vertices[b, 1] - vertices[a, 1], vertices[b, 2] - vertices[a, 2]
        vx, vy, vz = vertices[c, 0] - vertices[a, 0], vertices[c, 1] - vertices[a, 1], vertices[c, 2] - vertices[a, 2]
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for v in (a, b, c):
            normals[v, 0] += nx
            normals[v, 1] += ny
            normals[v, 2] += nz
    for v in range(vertices.shape[0]):
        length = np.sqrt(normals[v, 0] ** 2 + normals[v, 1] ** 2 + normals[v, 2] ** 2)
        if length > 1e-12:
            for k in range(3):
                normals[v, k] /= length
    return normals


@njit(cache=True, nogil=True)
def bounds(points):
    """Smallest and largest of the first two columns of (N, 2 or more): (2,) each."""
    low, high = points[0, :2].copy(), points[0, :2].copy()
    for n in range(points.shape[0]):
        for k in range(2):
            low[k] = min(low[k], points[n, k])
            high[k] = max(high[k], points[n, k])
    return low, high


def finer(size: tuple[int, int], supersampling: float) -> tuple[tuple[int, int], np.ndarray]:
    """(height, width) of the samples for a picture of `size`, and samples a pixel along x and y, (2,) float32.

    The two differ from `supersampling` by what rounding the size to whole samples takes: points must be scaled by what is really sampled.
    """
    height, width = (max(1, round(side * supersampling)) for side in size)
    return (height, width), np.float32([width / size[1], height / size[0]])


@njit(cache=True, nogil=True)
def to_samples(points, step):
    """Pixels (N, 2 or more) -> the samples' own pixels (N, 2); both count from the middle of their first."""
    samples = np.empty((len(points), 2), points.dtype)
    for n in range(len(points)):
        for k in range(2):
            samples[n, k] = (points[n, k] + np.float32(0.5)) * step[k] - np.float32(0.5)
    return samples
