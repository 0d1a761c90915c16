"""Similarity transforms between frame and crop, the only way between the two spaces.

Points are float32 (x, y), 0-based, integer = pixel centre.
"""

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class CropTransform:
    """The similarity frame -> crop: `crop = scale * R(angle) @ frame + shift`, stored as four numbers.

    a, b: scale * cos(angle), scale * sin(angle); the matrix is [[a, -b, tx], [b, a, ty]].
    size: side of the square crop in pixels.
    """

    a: float
    b: float
    tx: float
    ty: float
    size: int

    @property
    def scale(self) -> float:
        """Crop pixels per frame pixel."""
        return float(np.hypot(self.a, self.b))

    @property
    def matrix(self) -> np.ndarray:
        """(2, 3) float64, for points (as column vectors with a 1) and for cv2.warpAffine."""
        return np.array([[self.a, -self.b, self.tx], [self.b, self.a, self.ty]], np.float64)

    def to_crop(self, points_frame: np.ndarray) -> np.ndarray:
        """points_frame (..., 2) -> points_crop (..., 2), float32."""
        matrix = self.matrix
        return (np.asarray(points_frame, np.float64) @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)

    def to_frame(self, points_crop: np.ndarray) -> np.ndarray:
        """points_crop (..., 2) -> points_frame (..., 2), float32."""
        inverse = np.array([[self.a, -self.b], [self.b, self.a]]) / (self.a * self.a + self.b * self.b)  # transposed
        return ((np.asarray(points_crop, np.float64) - (self.tx, self.ty)) @ inverse).astype(np.float32)

    def crop(self, frame: np.ndarray, stride: int = 1) -> np.ndarray:
        """The (size, size, 3) uint8 crop of a (H, W, 3) uint8 frame; pixels outside the frame are black.

        stride: n gives the same view in pixels n times as large, (size // n, size // n, 3); a rest is cut off.
        """
        if stride > 1:
            return self.then(resizing(1 / stride, self.size // stride)).crop(frame)
        matrix, shrink = self.matrix, int(1 / self.scale)
        if shrink >= 2:
            # warpAffine looks at four pixels, whatever lies between them: a large face is averaged over blocks first.
            corners = self.to_frame(np.array([[0, 0], [self.size, 0], [0, self.size], [self.size, self.size]]) - 0.5)
            low = np.clip(np.floor(corners.min(0)).astype(int) - shrink, 0, None)
            high = np.minimum(np.ceil(corners.max(0)).astype(int) + shrink, (frame.shape[1], frame.shape[0]))
            width, height = np.maximum(high - low, 0) // shrink
            if width == 0 or height == 0:
                return np.zeros((self.size, self.size, 3), frame.dtype)
            part = frame[low[1] : low[1] + height * shrink, low[0] : low[0] + width * shrink]
            frame = cv2.resize(part, (int(width), int(height)), interpolation=cv2.INTER_AREA)
            # Pixel u of the small picture is pixel low + shrink * (u + 0.5) - 0.5 of the frame.
            matrix = np.column_stack([matrix[:, :2] * shrink, matrix[:, :2] @ (low + (shrink - 1) / 2) + matrix[:, 2]])
        return cv2.warpAffine(frame, matrix, (self.size, self.size), flags=cv2.INTER_LINEAR)

    def then(self, other: "CropTransform") -> "CropTransform":
        """This transform followed by `other` (crop -> another crop)."""
        return CropTransform(
            a=other.a * self.a - other.b * self.b,
            b=other.b * self.a + other.a * self.b,
            tx=other.a * self.tx - other.b * self.ty + other.tx,
            ty=other.b * self.tx + other.a * self.ty + other.ty,
            size=other.size,
        )


def resizing(scale: float, size: int) -> CropTransform:
    """From a crop to the same view in pixels of 1 / scale the size: the upper left corners of the upper left pixels coincide."""
    return CropTransform(scale, 0.0, scale / 2 - 0.5, scale / 2 - 0.5, size)


def fit_similarity(source: np.ndarray, target: np.ndarray, size: int) -> CropTransform:
    """Least-squares similarity (no reflection) that takes source (N, 2) to target (N, 2); N >= 2, all finite.

    Source: the closed form of Procrustes analysis in the plane. Raises ValueError where the source points coincide.
    """
    source = np.asarray(source, np.float64)
    target = np.asarray(target, np.float64)
    source_mean, target_mean = source.mean(0), target.mean(0)
    s, t = source - source_mean, target - target_mean
    norm = (s * s).sum()
    if not np.isfinite(norm) or norm < 1e-12:
        raise ValueError(f"cannot fit a similarity: {len(source)} source points coincide or are not finite")
    a = (s * t).sum() / norm
    b = (s[:, 0] * t[:, 1] - s[:, 1] * t[:, 0]).sum() / norm
    shift = target_mean - np.array([a * source_mean[0] - b * source_mean[1], b * source_mean[0] + a * source_mean[1]])
    return CropTransform(float(a), float(b), float(shift[0]), float(shift[1]), int(size))


def fit_similarities(sources: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(N, 4) similarities a, b, x, y, for `similar`, that take sources (N, L, 2) to targets with the least error by weights (N, L)."""
    weights = (weights / weights.sum(1, keepdims=True))[..., None]
    middle, target = ((weights * part).sum(1) for part in (sources, targets))
    shape, goal = sources - middle[:, None], targets - target[:, None]
    norm = (weights * shape**2).sum((1, 2))
    a = (weights * shape * goal).sum((1, 2)) / norm
    b = (weights[..., 0] * (shape[..., 0] * goal[..., 1] - shape[..., 1] * goal[..., 0])).sum(1) / norm
    turned = np.stack([a * middle[:, 0] - b * middle[:, 1], b * middle[:, 0] + a * middle[:, 1]], 1)
    return np.concatenate([a[:, None], b[:, None], target - turned], 1)


def similar(points: np.ndarray, similarities: np.ndarray) -> np.ndarray:
    """Points (N, L, 2) where the similarities (N, 4) of `fit_similarities` put them."""
    a, b = similarities[:, 0, None], similarities[:, 1, None]
    x, y = points[..., 0], points[..., 1]
    return np.stack([a * x - b * y, b * x + a * y], -1) + similarities[:, None, 2:]


def mean_shape(shapes: np.ndarray, size: int, fill: float, iterations: int = 10) -> np.ndarray:
    """Generalised Procrustes mean of shapes (N, L, 2), placed upright in a crop: (L, 2) float32 in crop pixels.

    The larger side of its bounding box is `fill * size`, its bounding box is centred. Upright means that the mean rotation to the
    given shapes is zero. Shapes with NaN are left out; ValueError if none remains.
    """
    shapes = np.asarray(shapes, np.float64)
    shapes = shapes[np.isfinite(shapes).all((1, 2))]
    if len(shapes) == 0:
        raise ValueError("cannot compute a mean shape: no fully labelled shape")
    centred = shapes - shapes.mean(1, keepdims=True)
    centred /= np.sqrt((centred**2).sum((1, 2), keepdims=True))
    mean = centred.mean(0)
    for _ in range(iterations):
        aligned = np.stack([fit_similarity(shape, mean, size).to_crop(shape).astype(np.float64) for shape in centred])
        new = aligned.mean(0)
        # Keep the frame of the plain average: Procrustes alone would leave rotation and scale free.
        mean = fit_similarity(new, centred.mean(0), size).to_crop(new).astype(np.float64)
    low, high = mean.min(0), mean.max(0)
    scale = fill * size / (high - low).max()
    return ((mean - (low + high) / 2) * scale + (size - 1) / 2).astype(np.float32)


def bounding_box(points: np.ndarray) -> np.ndarray:
    """points (L, 2) -> (4,) x0, y0, x1, y1 of the finite points; NaN where there is none."""
    finite = points[np.isfinite(points).all(-1)]
    if len(finite) == 0:
        return np.full(4, np.nan, np.float32)
    return np.concatenate([finite.min(0), finite.max(0)]).astype(np.float32)


def box_iou(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two boxes x0, y0, x1, y1."""
    low, high = np.maximum(first[:2], second[:2]), np.minimum(first[2:], second[2:])
    intersection = float(np.prod(np.maximum(high - low, 0)))
    areas = [float(np.prod(np.maximum(box[2:] - box[:2], 0))) for box in (first, second)]
    union = sum(areas) - intersection
    return intersection / union if union > 0 else 0.0
