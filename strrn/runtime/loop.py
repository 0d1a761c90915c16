"""The one tracking loop: evaluation runs it with torch models, deployment with ONNX sessions.

It follows one face, notices when that face is gone, and finds it again. What a frame can end in:

    searching --face found--> tracking <--found again / checks pass-- uncertain --patience over--> lost --found again--> tracking
                              tracking --a check fails--> uncertain

In tracker mode the points of a frame are the tracker's, with a share of the detector's (`detector_share`).

Checks (`RuntimeParameters`): plausible points, and the detector's opinion, in every frame; every few frames the paper's cycle (track back to
the previous frame and compare with where the face came from), and MTCNN's opinion of the crop. An uncertain face is checked in full
in every frame, and MTCNN searches the frame to put the points back on the face.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

from strrn.core.geometry import CropTransform, bounding_box, box_iou, fit_similarity
from strrn.core.landmarks import LandmarkScheme
from strrn.runtime.parameters import Mode, RuntimeParameters

if TYPE_CHECKING:  # the loop is handed a face detector, it loads none
    from strrn.core.face_detection import FaceDetection

Detect = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
Track = Callable[[np.ndarray, np.ndarray], np.ndarray]
FindFaces = Callable[[np.ndarray], list["FaceDetection"]]

# Boxes that overlap this much are of one face: MTCNN's box and the landmarks' box differ by the forehead and by the pose.
SAME_FACE_IOU = 0.25
# So far (in units of d, root mean square) MTCNN's five points may be from where the landmarks let expect them. For landmarks without a
# contour, whose box is a small part of the face's.
SAME_FACE_DISTANCE = 0.3
# Side of the crop in which MTCNN checks that there is a face: as often right as in the full crop, at a quarter of the time.
FACE_CHECK_SIZE = 128


class State(Enum):
    """searching: no face yet. uncertain: points are given, a check failed. lost: there was a face; it is searched for."""

    searching = "searching"
    tracking = "tracking"
    uncertain = "uncertain"
    lost = "lost"


@dataclass(frozen=True)
class FaceState:
    """The face in one frame.

    points_frame: (L, 2) float32; NaN while searching or lost. confidence: (L,) float32, the detector's from the last frame that it
    looked at (every frame, or without a `detector_share` every `verify_every` frames); NaN likewise. box: (4,) of the points. reason: why
    the state is another than in the frame before, empty where it is the same.
    """

    points_frame: np.ndarray
    confidence: np.ndarray
    state: State
    box: np.ndarray
    reason: str

    @property
    def has_points(self) -> bool:
        return self.state in (State.tracking, State.uncertain)


class FaceTracker:
    """Call it with the frames of a video, in order; it keeps the face's points between the calls.

    detect: crop (size, size, 3) uint8 RGB -> points_crop (L, 2), confidence (L,).
    track: crop, start_points_crop (L, 2) -> points_crop (L, 2).
    find_faces: frame (H, W, 3) uint8 RGB -> faces (MTCNN), in any order.
    reference_shape: (L, 2) in crop pixels; face_template: (5, 2), where MTCNN's five points lie in a canonical crop.
    """

    def __init__(
        self,
        *,
        detect: Detect,
        track: Track,
        find_faces: FindFaces,
        scheme: LandmarkScheme,
        reference_shape: np.ndarray,
        face_template: np.ndarray,
        size: int,
        parameters: RuntimeParameters,
    ) -> None:
        expected = (scheme.num_landmarks, 2)
        if np.shape(reference_shape) != expected or np.shape(face_template) != (5, 2):
            raise ValueError(
                f"reference_shape {np.shape(reference_shape)} and face_template {np.shape(face_template)}, expected {expected} and (5, 2)"
            )
        self._detect, self._track, self._find_faces = detect, track, find_faces
        self._scheme, self._parameters, self._size = scheme, parameters, size
        self._reference = np.asarray(reference_shape, np.float32)
        self._reference_distance = float(scheme.distance(self._reference))
        self._template = np.asarray(face_template, np.float32)
        self.reset()

    def reset(self) -> None:
        """Forget the face and the video: the next frame is a first one."""
        self._state = State.searching
        self._previous_frame: np.ndarray | None = None
        self._points: np.ndarray | None = None  # (L, 2) in the frame, None without a face
        self._confidence: np.ndarray | None = None
        self._age = 0  # frames since the detector put the points on the face
        self._failures = 0  # failed frames in a row
        self._until_search = 0  # frames

    def __call__(self, frame: np.ndarray) -> FaceState:
        """The face in the video's next frame (H, W, 3) uint8 RGB, which must not be changed before the following call."""
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            raise ValueError(f"expected an RGB frame (H, W, 3) of uint8, found {frame.shape} of {frame.dtype}")
        if self._previous_frame is not None and frame.shape != self._previous_frame.shape:
            self.reset()
        before = self._state
        self._until_search -= 1
        reason = self._search(frame) if self._points is None else self._follow(frame)
        self._previous_frame = frame
        if self._state is before:
            reason = ""
        if self._points is None:
            nan = np.full((self._scheme.num_landmarks, 2), np.nan, np.float32)
            return FaceState(nan, nan[:, 0].copy(), self._state, np.full(4, np.nan, np.float32), reason)
        return FaceState(self._points.copy(), self._confidence.copy(), self._state, bounding_box(self._points), reason)

    def _search(self, frame: np.ndarray) -> str:
        """A frame without a face to follow; returns the reason of a change."""
        found = self._put_on_face(frame)
        if found:
            self._state = State.tracking
        return found

    def _follow(self, frame: np.ndarray) -> str:
        """One step from the face's own previous points, the checks that are due, and what follows from them."""
        self._age += 1
        transform = fit_similarity(self._points, self._reference, self._size)
        crop = transform.crop(frame)
        points, disagreement = self._step(crop, transform)
        implausible = self._implausible(points, frame.shape, transform.scale)
        failure = implausible or self._failed_check(frame, points, disagreement)
        if not failure:
            self._points, self._failures, self._state = points, 0, State.tracking
            return "the checks pass again"
        self._failures += 1
        if found := self._put_on_face(frame):
            self._state = State.tracking
            return f"{found} after {failure}"
        if self._failures >= self._parameters.patience:
            self._points = self._confidence = None
            self._state = State.lost
            return failure
        if not implausible:  # otherwise the points before are the better guess of where the face is
            self._points = points
        self._state = State.uncertain
        return failure

    def _step(self, crop: np.ndarray, transform: CropTransform) -> tuple[np.ndarray, float | None]:
        """The points (L, 2) in the frame, and how far (crop px) detector and tracker are apart where both looked."""
        share = self._parameters.detector_share
        if self._parameters.mode is Mode.tracker:
            tracked = self._track(crop, transform.to_crop(self._points))
            if share == 0:
                return transform.to_frame(tracked), None
        detected, confidence = self._detect(crop)
        self._confidence = np.asarray(confidence, np.float32)
        if self._parameters.mode is Mode.detector:
            return transform.to_frame(detected), None
        return transform.to_frame((1 - share) * tracked + share * detected), _rms(tracked, detected)

    def _put_on_face(self, frame: np.ndarray) -> str:
        """Where a search is due: the detector's points on the largest face of MTCNN that passes the checks. Empty: none."""
        if self._until_search > 0:
            return ""
        self._until_search = self._parameters.search_every
        for face in sorted(self._find_faces(frame), key=lambda face: _area(face.box), reverse=True):
            transform = fit_similarity(face.five_points, self._template, self._size)
            # Twice: the second crop is placed by the landmarks themselves, as every later one will be.
            for _ in range(2):
                points_crop, confidence = self._detect(transform.crop(frame))
                points = transform.to_frame(points_crop)
                failure = self._implausible(points, frame.shape, None) or self._unsure(confidence)
                if failure:
                    break
                transform = fit_similarity(points, self._reference, self._size)
            if not failure and self._is_on(points, face):
                self._points, self._confidence = points, np.asarray(confidence, np.float32)
                self._age = self._failures = 0
                return f"face found (probability {face.probability:.2f})"
        return ""

    def _implausible(self, points: np.ndarray, frame_shape: tuple[int, ...], scale_before: float | None) -> str:
        """What forbids that these points (L, 2) in the frame are a face; empty if nothing does. scale_before: crop px per frame px."""
        limits = self._parameters
        if not np.isfinite(points).all():
            return "points that are not finite"
        if float(np.ptp(points, 0).max()) < 1:
            return "points that coincide"
        height, width = frame_shape[:2]
        inside = ((points >= -0.5) & (points <= (width - 0.5, height - 0.5))).all(1).mean()
        if inside < limits.min_inside:
            return f"only {inside:.0%} of the points inside the frame"
        fit = fit_similarity(points, self._reference, self._size)
        distance = _rms(fit.to_crop(points), self._reference) / self._reference_distance
        if distance > limits.max_shape_distance:
            return f"shape distance {distance:.2f}"
        if scale_before is not None:
            jump = max(fit.scale / scale_before, scale_before / fit.scale)
            if jump > limits.max_scale_jump:
                return f"size jump {jump:.2f}"
        return ""

    def _unsure(self, confidence: np.ndarray) -> str:
        mean = float(np.mean(confidence))
        return "" if mean >= self._parameters.min_confidence else f"detector confidence {mean:.2f}"

    def _failed_check(self, frame: np.ndarray, points: np.ndarray, disagreement: float | None) -> str:
        """The first of the checks that are due (all, while the face is uncertain) that the new points fail; empty if none.

        disagreement: of `_step`; None where the detector has not looked at this frame beside the tracker.
        """
        limits = self._parameters

        def due(every: int) -> bool:
            return self._failures > 0 or self._age % every == 0

        in_tracker_mode = limits.mode is Mode.tracker
        transform = fit_similarity(points, self._reference, self._size)
        if in_tracker_mode and due(limits.cycle_every):
            back_crop = self._track(transform.crop(self._previous_frame), transform.to_crop(points))
            error = _rms(transform.to_frame(back_crop), self._points) / float(self._scheme.distance(points))
            if not error <= limits.max_cycle_error:
                return f"cycle error {error:.2f}"
        if in_tracker_mode and disagreement is None and due(limits.verify_every):
            detected_crop, confidence = self._detect(transform.crop(frame))
            self._confidence = np.asarray(confidence, np.float32)
            disagreement = _rms(detected_crop, transform.to_crop(points))
        if not in_tracker_mode or disagreement is not None:
            if failure := self._unsure(self._confidence):
                return failure
            away = (disagreement or 0.0) / self._reference_distance
            if not away <= limits.max_disagreement:
                return f"detector {away:.2f} away"
        if due(limits.face_every):
            small = transform.then(_shrinking(self._size, FACE_CHECK_SIZE))
            points_small = small.to_crop(points)
            if not any(self._is_on(points_small, face) for face in self._find_faces(small.crop(frame))):
                return "no face in the crop"
        return ""

    def _is_on(self, points: np.ndarray, face: "FaceDetection") -> bool:
        """Whether landmarks (L, 2) are on a face that MTCNN found, both in the same pixels: by their boxes, or by its five points."""
        if box_iou(bounding_box(points), face.box) >= SAME_FACE_IOU:
            return True
        transform = fit_similarity(points, self._reference, self._size)
        return _rms(transform.to_crop(face.five_points), self._template) <= SAME_FACE_DISTANCE * self._reference_distance


def _shrinking(size: int, small: int) -> CropTransform:
    """A crop of `size` pixels to the same view in `small` pixels: the outer rims of the rim pixels coincide."""
    scale = small / size
    shift = scale / 2 - 0.5
    return CropTransform(scale, 0.0, shift, shift, small)


def _area(box: np.ndarray) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))


def _rms(first: np.ndarray, second: np.ndarray) -> float:
    """Root mean square distance of two shapes (L, 2), in their unit."""
    return float(np.sqrt(((np.asarray(first, np.float64) - second) ** 2).sum(-1).mean()))
