"""Canonical crops of stills and of clips, and the reference that defines "canonical"."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from strrn.core.face_detection import FaceDetector
from strrn.core.geometry import bounding_box, box_iou, fit_similarity
from strrn.core.images import encode_jpeg
from strrn.core.tables import crops_schema, write_table
from strrn.core.video import VideoError, read_frames
from strrn.data.face_tracks import (
    ClipFaces,
    FaceTrack,
    FindFaces,
    TrackParameters,
    boxes_between,
    crop_transforms,
    follow_faces,
)
from strrn.data.sources.record import ClipRecord

# A detection belongs to a labelled face where their boxes overlap by this much, or where it holds all the points: those of a scheme without
# contour fill a small part of the face.
SAME_FACE_IOU = 0.3


@dataclass(frozen=True)
class CropParameters:
    """size: side of a crop in pixels. fill: larger side of the reference shape's box, as a share of it. jpeg_quality: of the crops.
    calibration_stills: number of training stills that the face template is measured on; min_calibrated: least share of them on which
    the face must be found. min_valid: least share of labelled landmarks of a still. track: see TrackParameters. min_track_frames:
    shortest track kept. max_enlargement: crop pixels per frame pixel above which a face is too small. max_frames_per_clip: frames read
    of a clip, from its beginning. max_unreadable: number of damaged videos that are listed as rejected; one more is an error.
    folders: of the user's own unlabelled videos. workers: processes, 0 = one a core; the result does not depend on it."""

    size: int
    fill: float
    jpeg_quality: int
    calibration_stills: int
    min_calibrated: float
    min_valid: float
    track: TrackParameters
    min_track_frames: int
    max_enlargement: float
    max_frames_per_clip: int
    max_unreadable: int
    folders: list[str]
    workers: int

    def __post_init__(self) -> None:
        for key in ("fill", "min_calibrated", "min_valid"):
            if not 0 < getattr(self, key) <= 1:
                raise ValueError(f"{key} must lie above 0 and be at most 1, found {getattr(self, key)}")
        if not 1 <= self.jpeg_quality <= 100:
            raise ValueError(f"jpeg_quality must lie in 1..100, found {self.jpeg_quality}")
        for key, least in {
            "size": 16,
            "calibration_stills": 1,
            "min_track_frames": 2,
            "max_frames_per_clip": 2,
            "max_unreadable": 0,
            "workers": 0,
        }.items():
            if getattr(self, key) < least:
                raise ValueError(f"{key} must be at least {least}, found {getattr(self, key)}")
        if self.max_enlargement <= 0:
            raise ValueError(f"max_enlargement must be positive, found {self.max_enlargement}")


@cache
def face_detector() -> FaceDetector:
    """This process's detector: its networks are loaded once."""
    return FaceDetector()


def five_points_in_crop(
    image: np.ndarray, points_frame: np.ndarray, reference_shape: np.ndarray, size: int, find_faces: FindFaces
) -> np.ndarray | None:
    """Where the face detector's five points (5, 2) lie in the canonical crop of a labelled still; None where it misses the face."""
    truth = bounding_box(points_frame)
    overlaps = [(box_iou(face.box, truth), face) for face in find_faces(image)]
    overlap, face = max(overlaps, key=lambda pair: pair[0], default=(0.0, None))
    if face is None or (overlap < SAME_FACE_IOU and not _holds(face.box, truth)):
        return None
    return fit_similarity(points_frame, reference_shape, size).to_crop(face.five_points)


def _holds(box: np.ndarray, inner: np.ndarray) -> bool:
    return bool((box[:2] <= inner[:2]).all() and (inner[2:] <= box[2:]).all())


def face_template(found: Sequence[np.ndarray | None], min_calibrated: float) -> np.ndarray:
    """(5, 2) median of the five points over the stills on which the face was found; the median, because a few detections are wrong.

    Raises ValueError where the face was found on less than the share `min_calibrated` of the stills.
    """
    points = [five for five in found if five is not None]
    if len(points) < min_calibrated * len(found) or not points:
        raise ValueError(
            f"the face detector found the labelled face on {len(points)} of {len(found)} stills, at least {min_calibrated:.0%} are needed: "
            "look at the stills (one upright face each, 30 px or more?), or lower crop.min_calibrated in params.yaml"
        )
    return np.median(points, axis=0).astype(np.float32)


def crop_still(
    image: np.ndarray, points_frame: np.ndarray, valid: np.ndarray, reference_shape: np.ndarray, parameters: CropParameters
) -> tuple[bytes, np.ndarray] | str:
    """(JPEG, points_crop (L, 2)) of the canonical crop by the truth, or the reason why there is none."""
    labelled = valid & np.isfinite(points_frame).all(-1)
    if labelled.mean() < parameters.min_valid:
        return f"{int(labelled.sum())} of {len(labelled)} landmarks labelled"
    transform = fit_similarity(points_frame[labelled], reference_shape[labelled], parameters.size)
    points = np.where(labelled[:, None], transform.to_crop(points_frame), np.float32(np.nan))
    return encode_jpeg(transform.crop(image), parameters.jpeg_quality), points


@dataclass(frozen=True)
class CroppedClip:
    """Rows for tracks.jsonl and rejected.jsonl. A damaged video has one rejected row, reason `unreadable`, and no track."""

    tracks: list[dict]
    rejected: list[dict]


def crop_clip(clip: ClipRecord, template: np.ndarray, parameters: CropParameters, out: Path) -> CroppedClip:
    """Find the faces of a clip and write one table of crops per track to `out`/tracks. A pure function of the clip and its arguments."""
    try:
        # Twice through the file: all frames of a clip do not fit into memory.
        faces = follow_faces(_frames(clip, parameters), face_detector(), parameters.track)
        kept, rejected = _select(clip, faces, template, parameters)
        images = _cut(clip, kept, parameters)
    except VideoError as error:
        return CroppedClip([], [{"clip_id": clip.clip_id, "reason": "unreadable", "detail": str(error)}])
    rows = []
    for number, (track, transforms) in enumerate(kept):
        track_id = f"{clip.clip_id}.{number}"
        path = f"tracks/{track_id}.parquet"
        write_table(out / path, _columns(track, transforms, images[number], faces.repeats), crops_schema())
        rows.append(
            {
                "track_id": track_id,
                "clip_id": clip.clip_id,
                "split": clip.split,
                "kind": clip.kind,
                "identity": clip.identity,
                "source": clip.source,
                "licence": clip.licence,
                "first_frame": track.first,
                "last_frame": track.last,
                "num_detected": len(track.frames),
                "num_repeats": int(faces.repeats[track.first : track.last + 1].sum()),
                "path": path,
            }
        )
    return CroppedClip(rows, rejected)


def _frames(clip: ClipRecord, parameters: CropParameters):
    for index, _, frame in read_frames(clip.path):
        if index >= parameters.max_frames_per_clip:
            return
        yield frame


def _select(clip: ClipRecord, faces: ClipFaces, template: np.ndarray, parameters: CropParameters) -> tuple[list[tuple], list[dict]]:
    """The tracks that are long and large enough, with their transforms, and a row for everything that is left out."""
    kept, rejected = [], []

    def reject(reason: str, first: int, last: int, detail: str = "") -> None:
        rejected.append({"clip_id": clip.clip_id, "reason": reason, "first_frame": first, "last_frame": last, "detail": detail})

    for track in faces.tracks:
        transforms = crop_transforms(track, template, parameters.size, parameters.track.smoothing)
        enlargement = float(np.median([transform.scale for transform in transforms]))
        if track.num_frames < parameters.min_track_frames:
            reject("track too short", track.first, track.last, f"{track.num_frames} frames, at least {parameters.min_track_frames} needed")
        elif enlargement > parameters.max_enlargement:
            detail = f"{enlargement:.1f} crop pixels per frame pixel, at most {parameters.max_enlargement:g} allowed"
            reject("face too small", track.first, track.last, detail)
        else:
            kept.append((track, transforms))
    if not faces.tracks:
        reject("no face", 0, len(faces.repeats) - 1)
    else:
        for first, last in faces.stretches_without_face():
            reject("stretch without a face", first, last)
    if clip.num_frames > len(faces.repeats) == parameters.max_frames_per_clip:
        reject("beyond max_frames_per_clip", len(faces.repeats), clip.num_frames - 1)
    return kept, rejected


def _cut(clip: ClipRecord, kept: list[tuple], parameters: CropParameters) -> list[list[bytes]]:
    """The encoded crops of every track, in the order of its frames."""
    images: list[list[bytes]] = [[] for _ in kept]
    if not kept:
        return images
    for index, frame in enumerate(_frames(clip, parameters)):
        for number, (track, transforms) in enumerate(kept):
            if track.first <= index <= track.last:
                images[number].append(encode_jpeg(transforms[index - track.first].crop(frame), parameters.jpeg_quality))
    return images


def _columns(track: FaceTrack, transforms: list, images: list[bytes], repeats: np.ndarray) -> Mapping[str, object]:
    frames = np.arange(track.first, track.last + 1)
    probability = {frame: detection.probability for frame, detection in zip(track.frames, track.detections, strict=True)}
    # The frame before a track's first is not in the track.
    in_track = repeats[track.first : track.last + 1] & (frames > track.first)
    return {
        "frame": frames,
        "image": images,
        "transform": np.array([[transform.a, transform.b, transform.tx, transform.ty] for transform in transforms]),
        "box": boxes_between(track),
        "face_probability": np.array([probability.get(int(frame), np.nan) for frame in frames]),
        "detected": np.isin(frames, track.frames),
        "repeats": in_track,
    }
