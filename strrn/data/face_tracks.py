"""Faces through a clip: detections linked to one track per person, and the crop that follows each of them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import cv2
import numpy as np

from strrn.core.face_detection import FaceDetection
from strrn.core.geometry import CropTransform, box_iou, fit_similarity

FindFaces = Callable[[np.ndarray], list[FaceDetection]]


@dataclass  # not frozen: OmegaConf does not merge nested frozen ones
class TrackParameters:
    """detect_every: frames between two looks for faces. link_iou: least overlap of one person's boxes from look to look.
    max_gap: frames that a track survives without a detection. cut_difference: mean difference of neighbouring frames, in grey levels,
    above which the shot changes and every track ends. repeat_difference: below it a frame repeats the one before. smoothing: standard
    deviation, in frames, of the average over a track's crop positions."""

    detect_every: int
    link_iou: float
    max_gap: int
    cut_difference: float
    repeat_difference: float
    smoothing: float

    def __post_init__(self) -> None:
        if self.detect_every < 1:
            raise ValueError(f"detect_every must be at least 1, found {self.detect_every}")
        if not 0 < self.link_iou < 1:
            raise ValueError(f"link_iou must lie between 0 and 1, found {self.link_iou}")
        if self.max_gap < self.detect_every:
            raise ValueError(f"max_gap must be at least detect_every = {self.detect_every}, found {self.max_gap}")
        if not 0 <= self.repeat_difference < self.cut_difference <= 255:
            raise ValueError(
                "repeat_difference and cut_difference must be grey levels with 0 <= repeat < cut <= 255, "
                f"found {self.repeat_difference} and {self.cut_difference}"
            )
        if self.smoothing < 0:
            raise ValueError(f"smoothing must not be negative, found {self.smoothing}")


@dataclass
class FaceTrack:
    """One face from its first to its last detection; `frames` are those where it was detected, in order."""

    frames: list[int] = field(default_factory=list)
    detections: list[FaceDetection] = field(default_factory=list)

    @property
    def first(self) -> int:
        return self.frames[0]

    @property
    def last(self) -> int:
        return self.frames[-1]

    @property
    def num_frames(self) -> int:
        return self.last - self.first + 1


@dataclass(frozen=True)
class ClipFaces:
    """Tracks of a clip of T frames, in the order in which they begin; repeats: (T,) bool, the frame equals the one before it."""

    tracks: list[FaceTrack]
    repeats: np.ndarray

    def stretches_without_face(self) -> list[tuple[int, int]]:
        """First and last frame of every stretch that no track covers."""
        covered = np.zeros(len(self.repeats) + 2, bool)
        covered[[0, -1]] = True
        for track in self.tracks:
            covered[track.first + 1 : track.last + 2] = True
        edges = np.flatnonzero(np.diff(covered.astype(int)))
        return [(int(first), int(last) - 1) for first, last in edges.reshape(-1, 2)]


def follow_faces(frames: Iterable[np.ndarray], find_faces: FindFaces, parameters: TrackParameters) -> ClipFaces:
    """Look for faces in every `detect_every`-th frame, and in all frames between two looks that found different numbers of faces, so
    that a track begins and ends where its face comes and goes."""
    open_tracks: list[FaceTrack] = []
    tracks: list[FaceTrack] = []
    waiting: list[tuple[int, np.ndarray]] = []  # frames after the last look
    repeats: list[bool] = []
    previous, num_faces = None, 0

    def look(index: int, faces: list[FaceDetection]) -> None:
        open_tracks[:] = [track for track in open_tracks if index - track.last <= parameters.max_gap]
        begun = _link(open_tracks, index, faces, parameters.link_iou)
        open_tracks.extend(begun)
        tracks.extend(begun)

    def look_at_waiting() -> None:
        for index, frame in waiting:
            look(index, find_faces(frame))
        waiting.clear()

    for index, frame in enumerate(frames):
        difference = 0.0 if previous is None else _difference(previous, frame)
        repeats.append(previous is not None and difference <= parameters.repeat_difference)
        previous = frame
        is_cut = difference > parameters.cut_difference
        if is_cut:
            look_at_waiting()
            open_tracks.clear()
        if index > 0 and not is_cut and len(waiting) + 1 < parameters.detect_every:
            waiting.append((index, frame))
            continue
        faces = find_faces(frame)
        if len(faces) != num_faces:
            look_at_waiting()
        waiting.clear()
        look(index, faces)
        num_faces = len(faces)
    look_at_waiting()
    return ClipFaces(tracks, np.array(repeats, bool))


def _difference(first: np.ndarray, second: np.ndarray) -> float:
    """Mean absolute difference in grey levels; frames of different sizes belong to different shots."""
    return float(cv2.absdiff(first, second).mean()) if first.shape == second.shape else 255.0


def _link(tracks: list[FaceTrack], index: int, faces: list[FaceDetection], least: float) -> list[FaceTrack]:
    """Append each face to the track it overlaps most, best pair first; the faces that are left begin the tracks returned."""
    pairs = [(box_iou(track.detections[-1].box, face.box), t, f) for t, track in enumerate(tracks) for f, face in enumerate(faces)]
    free_tracks, free_faces = set(range(len(tracks))), set(range(len(faces)))
    for overlap, t, f in sorted(pairs, key=lambda pair: -pair[0]):
        if overlap >= least and t in free_tracks and f in free_faces:
            tracks[t].frames.append(index)
            tracks[t].detections.append(faces[f])
            free_tracks.remove(t)
            free_faces.remove(f)
    return [FaceTrack([index], [faces[f]]) for f in sorted(free_faces)]


def crop_transforms(track: FaceTrack, face_template: np.ndarray, size: int, smoothing: float) -> list[CropTransform]:
    """One transform for every frame of the track, first to last.

    At a detection: the similarity of the five points to `face_template` (5, 2). Between detections log-scale, angle and centre are
    interpolated, then averaged over neighbouring frames with a Gaussian of `smoothing` frames.
    """
    centre_crop = np.full((1, 2), (size - 1) / 2, np.float32)
    poses = []
    for detection in track.detections:
        fit = fit_similarity(detection.five_points, face_template, size)
        poses.append([np.log(fit.scale), np.arctan2(fit.b, fit.a), *fit.to_frame(centre_crop)[0]])
    poses = np.array(poses)
    poses[:, 1] = np.unwrap(poses[:, 1])
    frames = np.arange(track.first, track.last + 1)
    poses = np.stack([np.interp(frames, track.frames, column) for column in poses.T], 1)
    poses = _gaussian_average(poses, smoothing)
    return [_transform_of(*pose, size=size) for pose in poses]


def _gaussian_average(values: np.ndarray, sigma: float) -> np.ndarray:
    """Average of values (T, n) along T; at both ends the window is cut symmetrically, so that a steady motion does not lag there."""
    if sigma == 0:
        return values
    averaged = np.empty_like(values)
    for index in range(len(values)):
        reach = min(int(np.ceil(3 * sigma)), index, len(values) - 1 - index)
        weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
        averaged[index] = weights @ values[index - reach : index + reach + 1] / weights.sum()
    return averaged


def _transform_of(log_scale: float, angle: float, x: float, y: float, *, size: int) -> CropTransform:
    a, b = np.exp(log_scale) * np.cos(angle), np.exp(log_scale) * np.sin(angle)
    centre = (size - 1) / 2
    return CropTransform(float(a), float(b), float(centre - (a * x - b * y)), float(centre - (b * x + a * y)), size)


def boxes_between(track: FaceTrack) -> np.ndarray:
    """(T, 4) boxes of all frames of the track, interpolated between detections."""
    frames = np.arange(track.first, track.last + 1)
    boxes = np.stack([detection.box for detection in track.detections])
    return np.stack([np.interp(frames, track.frames, column) for column in boxes.T], 1).astype(np.float32)
