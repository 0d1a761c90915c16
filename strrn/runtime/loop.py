"""The one tracking loop: evaluation runs it with torch models, deployment with ONNX sessions.

It finds faces, follows each by its own points, notices when one is gone, and finds it again. What happens to a face in a frame:

    found --> tracking <--the checks pass again, or it is found again-- uncertain --patience over--> lost
              tracking --a check fails--> uncertain

In tracker mode the points of a frame are the tracker's, with a share of the detector's (`detector_share`), smoothed by how sure the detector
is of each (`strrn.runtime.smoothing`). In detector mode they are the detector's; with `Models.refinement` those that BRF's head makes of
them are given, while crops and checks stay with the detector's own. The tracker's points and the refined ones are given as of a face
that is steadier as a whole than it was seen.

Checks (`RuntimeParameters`): plausible points in every frame; every few frames the detector's opinion, the paper's cycle (track back to
the previous frame and compare with where the face came from), and MTCNN's opinion of the place. An uncertain face is checked in full
in every frame, and MTCNN searches about it to put the points back on the face.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

from strrn.core.geometry import CropTransform, bounding_box, box_iou, fit_similarity, resizing
from strrn.core.landmarks import LandmarkScheme
from strrn.core.mirror import Detect
from strrn.runtime.parameters import Mode, RuntimeParameters
from strrn.runtime.refine import Memory, Refinement, begin, refine
from strrn.runtime.smoothing import PoseFilter, Smoother

if TYPE_CHECKING:  # the loop is handed a face detector, it loads none
    from strrn.core.face_detection import FaceDetection

Track = Callable[[Sequence[np.ndarray], np.ndarray, Sequence[np.ndarray], np.ndarray], np.ndarray]
FindFaces = Callable[[np.ndarray], "list[FaceDetection] | None"]
FindNear = Callable[[np.ndarray, np.ndarray], "list[FaceDetection]"]
ConfirmFace = Callable[[np.ndarray, np.ndarray], "FaceDetection | None"]

# Boxes that overlap this much are of one face: MTCNN's box and the landmarks' box differ by the forehead and by the pose.
SAME_FACE_IOU = 0.25
# Those of a face that is tracked well overlap more: 0.52 and up on a dozen real clips.
ON_FACE_IOU = 0.4
# So far (in units of d, root mean square) MTCNN's five points may be from where the landmarks let expect them. For landmarks without a
# contour, whose box is a small part of the face's.
SAME_FACE_DISTANCE = 0.3
# MTCNN's box is about 1.2 times the landmarks': what is smaller than this share of these, near a face in doubt, is no face or another's.
SAME_SIZE = 0.9
# Two sets of points whose boxes overlap this much have come to lie on one face.
DUPLICATE_IOU = 0.6
# A face that is found this near (sides of its box) to where one was lost is the same.
SAME_PLACE = 1.0
# Side of the crop in which MTCNN confirms a face: as often right as in the full crop.
FACE_CHECK_SIZE = 128
# Pixels along each side of the picture by which cuts are seen.
THUMBNAIL = 32
# Of what the detector added before, this share stays when it looks again: it changes slowly, and a mean of several looks is calmer.
CORRECTION_KEPT = 0.5
CUT = "scene cut"
NO_FACE = "no face there"


class State(Enum):
    """searching: no face yet. uncertain: points are given, a check failed. lost: there was a face; it is searched for."""

    searching = "searching"
    tracking = "tracking"
    uncertain = "uncertain"
    lost = "lost"


@dataclass(frozen=True)
class Models:
    """What a tracking loop is built from.

    detect: N crops (size // stride, size // stride, 3) uint8 RGB -> points_crop (N, L, 2), confidence (N, L).
    track: N crops, start_points_crop (N, L, 2), and of the frame that the start comes from N crops and the points in them (N, L, 2), which
        appearance memory reads -> points_crop (N, L, 2). Points are in pixels of the whole crop of `size`.
    find_faces: frame (H, W, 3) uint8 RGB -> faces (MTCNN), in any order; None: not known yet, to be asked again with the next frame.
    find_near: frame, box (4,) -> the faces about as large as the box, and near it.
    confirm_face: picture, five points (5, 2) where a face might be -> the face there, or None.
    reference_shape: (L, 2) in crop pixels; face_template: (5, 2), where MTCNN's five points lie in a canonical crop.
    refinement: BRF's head and its backbone, which then is the detector; for detector mode only.
    """

    detect: Detect
    track: Track
    find_faces: FindFaces
    find_near: FindNear
    confirm_face: ConfirmFace
    scheme: LandmarkScheme
    reference_shape: np.ndarray
    face_template: np.ndarray
    size: int
    stride: int
    refinement: Refinement | None = None


@dataclass(frozen=True)
class FaceState:
    """A face in one frame.

    face_id: the same for a face from frame to frame, -1 for none. points_frame: (L, 2) float32, smoothed or refined, and steadied;
    raw_points_frame: before that; both NaN while searching or lost. confidence: (L,) float32, the probability that a point's error is below
    5 % of d, from the last frame that the detector looked at (one in `detect_every`, or without a `detector_share` in `verify_every`); NaN
    likewise.
    box: (4,) of the points. reason: why the state is another than in the frame before, empty where it is the same.
    """

    face_id: int
    points_frame: np.ndarray
    raw_points_frame: np.ndarray
    confidence: np.ndarray
    state: State
    box: np.ndarray
    reason: str

    @property
    def has_points(self) -> bool:
        return self.state in (State.tracking, State.uncertain)


@dataclass(eq=False)
class _Face:
    """A face that is followed.

    points: where the tracking goes on from; shown: what is given of them, or of BRF's. correction: (L, 2), what the detector
    adds to the tracker's points, of its last looks; in pixels of the upright crop.
    crop and transform: of the last frame, where the next frame's cycle ends. failure: of the last frame.
    memory: of BRF's head, begun anew whenever the face is found; None without one.
    """

    face_id: int
    smoother: Smoother
    steadier: PoseFilter
    points: np.ndarray
    shown: np.ndarray
    raw: np.ndarray
    confidence: np.ndarray
    correction: np.ndarray
    crop: np.ndarray
    transform: CropTransform
    reason: str
    memory: Memory | None
    state: State = State.tracking
    age: int = 0  # frames since the detector put the points on the face
    failures: int = 0  # failed frames in a row
    failure: str = ""


@dataclass(frozen=True)
class _Place:
    """Where a face was when it was lost, and in which frame."""

    face_id: int
    box: np.ndarray
    frame: int


class FaceTracker:
    """Call it with the frames of a video, in order; it keeps up to max_faces faces between the calls."""

    def __init__(self, models: Models, parameters: RuntimeParameters, max_faces: int = 1) -> None:
        expected = (models.scheme.num_landmarks, 2)
        shape, template = np.shape(models.reference_shape), np.shape(models.face_template)
        if shape != expected or template != (5, 2):
            raise ValueError(f"reference_shape {shape} and face_template {template}, expected {expected} and (5, 2)")
        if max_faces < 1:
            raise ValueError(f"max_faces must be at least 1, found {max_faces}")
        if models.refinement is not None and parameters.mode is not Mode.detector:
            raise ValueError(f"mode is {parameters.mode.name}: refinement is of a detector's points, set mode to detector")
        self._models, self._parameters, self._max_faces = models, parameters, max_faces
        self._reference = np.asarray(models.reference_shape, np.float32)
        self._reference_distance = float(models.scheme.distance(self._reference))
        self._template = np.asarray(models.face_template, np.float32)
        self._next_id = 0
        self.reset()

    def reset(self) -> None:
        """Forget the faces and the video: the next frame is a first one. Ids are not given twice."""
        self._faces: list[_Face] = []
        self._places: list[_Place] = []
        self._had_face = False
        self._frame = 0  # number of the frame
        self._searched: int | None = None  # number of the last frame that was searched
        self._thumbnail: np.ndarray | None = None
        self._shape: tuple[int, ...] | None = None

    @property
    def state(self) -> State:
        """Of the first face; without a face searching or lost."""
        if self._faces:
            return self._faces[0].state
        return State.lost if self._had_face else State.searching

    def nobody(self) -> FaceState:
        """What stands for a frame without a face."""
        return self._absent(-1, self.state, "")

    def __call__(self, frame: np.ndarray, elapsed: float = 1.0) -> list[FaceState]:
        """The faces in the video's next frame (H, W, 3) uint8 RGB; a face that was lost in this frame comes last, without points.

        elapsed: since the frame before, in twenty-fifths of a second: points may move more in a longer time.
        """
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or 0 in frame.shape:
            raise ValueError(f"expected an RGB frame (H, W, 3) of uint8, found {frame.shape} of {frame.dtype}")
        if self._shape is not None and frame.shape != self._shape:
            self.reset()
        self._shape = frame.shape
        states = {face.face_id: face.state for face in self._faces}
        gone: list[tuple[_Face, str]] = []
        if self._is_cut(frame):
            gone = [(face, CUT) for face in self._faces]
            self._faces, self._places, self._searched = [], [], None
        if self._faces:
            self._follow(frame, elapsed)
            self._recover(frame)
        if self._search_is_due():
            self._search(frame)
        gone += self._ended()
        self._places += [_Place(face.face_id, bounding_box(face.points), self._frame) for face, reason in gone if reason != CUT]
        self._had_face = self._had_face or bool(self._faces)
        self._frame += 1
        return [_shown(face, states.get(face.face_id)) for face in self._faces] + [
            self._absent(face.face_id, State.lost, reason) for face, reason in gone
        ]

    def _absent(self, face_id: int, state: State, reason: str) -> FaceState:
        nan = np.full((len(self._reference), 2), np.nan, np.float32)
        return FaceState(face_id, nan, nan.copy(), nan[:, 0].copy(), state, np.full(4, np.nan, np.float32), reason)

    def _is_cut(self, frame: np.ndarray) -> bool:
        step_y, step_x = (max(1, side // THUMBNAIL) for side in frame.shape[:2])
        before, self._thumbnail = self._thumbnail, frame[::step_y, ::step_x].astype(np.int16)
        return before is not None and float(np.abs(self._thumbnail - before).mean()) > self._parameters.cut_difference

    def _follow(self, frame: np.ndarray, elapsed: float) -> None:
        """One step of every face from its own previous points, and the checks that are due."""
        transforms = [fit_similarity(face.points, self._reference, self._models.size) for face in self._faces]
        crops = [transform.crop(frame, self._models.stride) for transform in transforms]
        starts = np.stack([transform.to_crop(face.points) for transform, face in zip(transforms, self._faces, strict=True)])
        seen, disagreements = self._step(frame, crops, starts, transforms)
        for face, transform, crop, start, raw, disagreement in zip(self._faces, transforms, crops, starts, seen, disagreements, strict=True):
            face.age += 1
            points = transform.to_frame(face.smoother(start, raw, face.confidence, elapsed))
            implausible = self._implausible(points, frame.shape, transform.scale)
            face.failure = implausible or self._failed_check(face, frame, points, crop, transform, disagreement)
            face.failures = face.failures + 1 if face.failure else 0
            face.state = State.uncertain if face.failure else State.tracking
            face.reason = face.failure or "the checks pass again"
            if not implausible:  # otherwise the points before are the better guess of where the face is
                face.points, face.raw = points, transform.to_frame(raw)
            elif face.memory is not None:
                face.memory = begin(self._models.refinement, frame, transform, face.points)
            given = face.points if face.memory is None else face.memory.refined
            face.shown = face.steadier(given, self._reference_distance / transform.scale, elapsed)
            face.crop, face.transform = crop, transform

    def _step(
        self, frame: np.ndarray, crops: Sequence[np.ndarray], starts: np.ndarray, transforms: Sequence[CropTransform]
    ) -> tuple[np.ndarray, list[float | None]]:
        """The points (N, L, 2) in the crops, and how far (crop px) detector and tracker are apart where both looked."""
        if self._parameters.mode is Mode.detector:
            if self._models.refinement is None:
                detected, confidence = self._models.detect(crops)
            else:
                detected, confidence, patches = self._models.refinement.look(crops)
                memories = [face.memory for face in self._faces]
                memories = refine(self._models.refinement, frame, memories, transforms, detected, confidence, patches)
                for face, memory in zip(self._faces, memories, strict=True):
                    face.memory = memory
            for face, own in zip(self._faces, confidence, strict=True):
                face.confidence = np.asarray(own, np.float32)
            return detected, [None] * len(crops)
        points_before = np.stack([face.transform.to_crop(face.points) for face in self._faces])
        tracked = self._models.track(crops, starts, [face.crop for face in self._faces], points_before)
        disagreements: list[float | None] = [None] * len(crops)
        share, every = self._parameters.detector_share, self._parameters.detect_every
        # Not all faces in the same frame.
        due = [
            n for n, face in enumerate(self._faces) if share and (not face.age or face.failures or (face.age + face.face_id) % every == 0)
        ]
        if due:
            for n, detected, confidence in zip(due, *self._models.detect([crops[n] for n in due]), strict=True):
                self._faces[n].confidence = np.asarray(confidence, np.float32)
                kept = CORRECTION_KEPT if self._faces[n].age else 0.0
                self._faces[n].correction = kept * self._faces[n].correction + (1 - kept) * share * (detected - tracked[n])
                disagreements[n] = _rms(detected, tracked[n])
        return tracked + np.stack([face.correction for face in self._faces]), disagreements

    def _recover(self, frame: np.ndarray) -> None:
        """Puts doubtful faces back on the nearest face that MTCNN finds near them, if it is not on that one already."""
        for face in self._faces:
            if not face.failures or (face.failures - 1) % self._parameters.search_every:
                continue
            box = bounding_box(face.points)
            found = [
                detection for detection in self._free(self._models.find_near(frame, box)) if _side(detection.box) >= SAME_SIZE * _side(box)
            ]
            found.sort(key=lambda detection: _away(detection.box, box))
            if not found or _away(found[0].box, box) > SAME_PLACE:
                continue
            if face.failure == NO_FACE and self._is_on(face.points, found[0], ON_FACE_IOU):  # and all other checks have passed
                face.state, face.failures, face.failure = State.tracking, 0, ""
            elif seat := self._seat(frame, found[0]):
                seat["reason"] += f" after {face.failure}"
                vars(face).update(seat, state=State.tracking, age=0, failures=0, failure="")

    def _search_is_due(self) -> bool:
        if len(self._faces) == self._max_faces:
            return False
        every = self._parameters.new_face_every if self._faces else self._parameters.search_every
        return self._searched is None or self._frame - self._searched >= every

    def _search(self, frame: np.ndarray) -> None:
        """Starts the faces that MTCNN finds, the largest first."""
        found = self._models.find_faces(frame)
        if found is None:
            return
        self._searched = self._frame
        for detection in sorted(self._free(found), key=lambda detection: _area(detection.box), reverse=True):
            if len(self._faces) == self._max_faces:
                break
            if seat := self._seat(frame, detection):
                self._faces.append(_Face(face_id=self._identity(detection), **seat))

    def _free(self, found: "list[FaceDetection]") -> "list[FaceDetection]":
        """Those on which no face is that passes its checks."""
        certain = [face for face in self._faces if not face.failure]
        return [detection for detection in found if not any(self._is_on(face.points, detection) for face in certain)]

    def _ended(self) -> list[tuple[_Face, str]]:
        """Takes out the faces whose patience is over, and of two that have come to lie on one face the one in doubt, or the later."""
        gone = [(face, face.failure) for face in self._faces if face.failures >= self._parameters.patience]
        kept: list[_Face] = []
        for face in sorted((face for face in self._faces if face.failures < self._parameters.patience), key=lambda face: face.failures):
            box = bounding_box(face.points)
            same = next((other for other in kept if box_iou(box, bounding_box(other.points)) > DUPLICATE_IOU), None)
            if same is None:
                kept.append(face)
            else:
                gone.append((face, f"the same face as {same.face_id}"))
        self._faces = [face for face in self._faces if face in kept]
        return gone

    def _seat(self, frame: np.ndarray, detection: "FaceDetection") -> dict | None:
        """The detector's points on a face of MTCNN as values of a `_Face`, if they pass the checks."""
        transform = fit_similarity(detection.five_points, self._template, self._models.size)
        # Twice: the second crop is placed by the landmarks themselves, as every later one will be.
        for _ in range(2):
            crop, last = transform.crop(frame, self._models.stride), transform
            (points_crop,), (confidence,) = self._models.detect([crop])
            points = transform.to_frame(points_crop)
            if self._implausible(points, frame.shape, None) or self._unsure(confidence):
                return None
            transform = fit_similarity(points, self._reference, self._models.size)
        if not self._is_on(points, detection):
            return None
        tracking, refined = self._parameters.mode is Mode.tracker, self._models.refinement is not None
        return {
            "smoother": Smoother(self._parameters.smoothing if tracking else 0.0, self._reference_distance),
            "steadier": PoseFilter(self._parameters.steadiness if tracking or refined else 0.0),
            "points": points,
            "shown": points,
            "raw": points,
            "confidence": np.asarray(confidence, np.float32),
            "correction": np.zeros_like(points),
            "crop": crop,
            "transform": last,
            "memory": begin(self._models.refinement, frame, transform, points) if self._models.refinement else None,
            "reason": f"face found (probability {detection.probability:.2f})",
        }

    def _identity(self, detection: "FaceDetection") -> int:
        """The id of a face that was lost near there not long ago, otherwise a new one."""
        self._places = [place for place in self._places if self._frame - place.frame <= self._parameters.remember]
        near = [place for place in self._places if _away(detection.box, place.box) <= SAME_PLACE]
        if near:
            same = min(near, key=lambda place: _away(detection.box, place.box))
            self._places = [place for place in self._places if place is not same]
            return same.face_id
        self._next_id += 1
        return self._next_id - 1

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
        fit = fit_similarity(points, self._reference, self._models.size)
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

    def _failed_check(
        self, face: _Face, frame: np.ndarray, points: np.ndarray, crop: np.ndarray, transform: CropTransform, disagreement: float | None
    ) -> str:
        """The first of the checks that are due (all, while the face is uncertain) that the new points fail; empty if none.

        crop, transform: in which the points were found.
        disagreement: of `_step`; None where the detector has not looked at this frame beside the tracker.
        """
        limits = self._parameters

        def due(every: int) -> bool:
            return face.failures > 0 or face.age % every == 0

        in_tracker_mode = limits.mode is Mode.tracker
        if in_tracker_mode and due(limits.cycle_every):
            (back_crop,) = self._models.track([face.crop], face.transform.to_crop(points)[None], [crop], transform.to_crop(points)[None])
            error = _rms(face.transform.to_frame(back_crop), face.points) / float(self._models.scheme.distance(points))
            if not error <= limits.max_cycle_error:
                return f"cycle error {error:.2f}"
        upright = fit_similarity(points, self._reference, self._models.size)
        if in_tracker_mode and not limits.detector_share and due(limits.verify_every):
            (detected_crop,), (confidence,) = self._models.detect([upright.crop(frame, self._models.stride)])
            face.confidence = np.asarray(confidence, np.float32)
            disagreement = _rms(detected_crop, upright.to_crop(points))
        if not in_tracker_mode or disagreement is not None:
            if failure := self._unsure(face.confidence):
                return failure
            away = (disagreement or 0.0) / self._reference_distance
            if not away <= limits.max_disagreement:
                return f"detector {away:.2f} away"
        if due(limits.face_every):
            shrinking = resizing(FACE_CHECK_SIZE / self._models.size, FACE_CHECK_SIZE)
            small = upright.then(shrinking)
            seen = self._models.confirm_face(small.crop(frame), shrinking.to_crop(self._template))
            if seen is None or not self._is_on(small.to_crop(points), seen, ON_FACE_IOU):
                return NO_FACE
        return ""

    def _is_on(self, points: np.ndarray, face: "FaceDetection", overlap: float = SAME_FACE_IOU) -> bool:
        """Whether landmarks (L, 2) are on a face that MTCNN found, both in the same pixels: by their boxes, or by its five points."""
        if box_iou(bounding_box(points), face.box) >= overlap:
            return True
        transform = fit_similarity(points, self._reference, self._models.size)
        return _rms(transform.to_crop(face.five_points), self._template) <= SAME_FACE_DISTANCE * self._reference_distance


def _shown(face: _Face, before: State | None) -> FaceState:
    reason = face.reason if face.state is not before else ""
    values = [value.copy() for value in (face.shown, face.raw, face.confidence)]
    return FaceState(face.face_id, *values, face.state, bounding_box(face.shown), reason)


def _area(box: np.ndarray) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))


def _side(box: np.ndarray) -> float:
    """The larger side of a box."""
    return float((box[2:] - box[:2]).max())


def _away(box: np.ndarray, other: np.ndarray) -> float:
    """Distance of the middles of two boxes, in larger sides of the first."""
    return float(np.linalg.norm((box[:2] + box[2:] - other[:2] - other[2:]) / 2) / _side(box))


def _rms(first: np.ndarray, second: np.ndarray) -> float:
    """Root mean square distance of two shapes (L, 2), in their unit."""
    return float(np.sqrt(((np.asarray(first, np.float64) - second) ** 2).sum(-1).mean()))
