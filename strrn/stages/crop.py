"""Cut canonical crops: labelled stills by their truth, clips by one face track per person: data/rendered, data/raw -> data/crops."""

import logging
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from strrn.core.cluster import map_clips
from strrn.core.files import atomic_folder, write_json, write_json_lines
from strrn.core.geometry import fit_similarity, mean_shape
from strrn.core.images import decode_image
from strrn.core.landmarks import LandmarkScheme, load_scheme
from strrn.core.processes import num_workers, start_worker
from strrn.core.progress import progress
from strrn.core.tables import read_table, still_crops_schema, stills_schema, write_table
from strrn.data.crops import (
    CropParameters,
    CroppedClip,
    crop_clip,
    crop_still,
    face_detector,
    face_template,
    five_points_in_crop,
)
from strrn.data.sources.folder import own_videos
from strrn.data.sources.labelled import LabelError, LabelledFace, by_file, pictures_of
from strrn.data.sources.labels import LabelParameters, check_rejected, labelled_faces
from strrn.data.sources.own_labels import log_splits
from strrn.data.sources.packages import packaged_clips
from strrn.data.sources.record import SPLITS, ClipRecord, read_clips, readable_clips
from strrn.data.sources.videos import VideoParameters, research_clips
from strrn.stages import logs
from strrn.stages.parameters import load_section, load_value
from strrn.stages.paths import CROPS, RAW, RENDERED
from strrn.stages.rejected import listed

log = logging.getLogger(__name__)
LEAST_SIDE = 4  # pixels: of the labels' box
# How far a landmark may lie from its place in the reference shape, as a share of that shape's radius: heads that are turned come to 1.0
# (300-W), exchanged landmarks begin at 1.14.
LARGEST_DEFORMATION = 1.1
LARGEST_ASYMMETRY = 0.5  # of the reference shape, in the same unit
CHUNK = 50  # stills a task


def main() -> None:
    scheme = load_scheme(load_value("scheme", str))
    labels, videos = load_section("labels", LabelParameters), load_section("videos", VideoParameters)
    with listed():
        crop(RAW, RENDERED, CROPS, scheme, load_section("crop", CropParameters), labels, videos)


def crop(
    raw: Path,
    rendered: Path,
    out: Path,
    scheme: LandmarkScheme,
    parameters: CropParameters,
    labels: LabelParameters,
    videos: VideoParameters,
) -> None:
    """Write everything below `out`, which appears when all of it is there."""
    clips, rejected = gather_clips(raw, rendered, parameters.folders, videos)
    check_unreadable(rejected, parameters.max_unreadable)
    faces, unusable = labelled_faces(labels, clips, scheme)
    num_labelled = len(faces) + len(unusable)
    # Evaluation follows the faces of test clips with truth itself.
    clips = [clip for clip in clips if clip.split != "test" or clip.truth is None]
    workers = num_workers(parameters.workers)
    with atomic_folder(out) as folder:
        with ProcessPoolExecutor(workers, get_context("spawn"), initializer=start_worker) as pool:
            try:
                stills = {split: _read_stills(rendered, faces, split, scheme.num_landmarks, labels.rendered) for split in SPLITS}
                reference_shape, template = _write_reference(folder, stills["train"], scheme, parameters, pool)
                for split in SPLITS:
                    of_rendered, of_faces = _write_stills(folder, stills[split], split, reference_shape, parameters, pool)
                    rejected += of_rendered
                    unusable += of_faces
                check_rejected(unusable, num_labelled, labels.max_rejected)
                names = {row["image_id"] for row in unusable}
                log_splits(face for face in faces if face.image_id not in names)
                rejected += unusable
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        rejected += _write_tracks(folder, clips, template, parameters, workers)
        check_unreadable(rejected, parameters.max_unreadable)
        write_json_lines(folder / "rejected.jsonl", rejected)
    _log_unread(rejected, parameters.max_frames_per_clip)
    if counts := Counter(row["reason"] for row in rejected if row["reason"] != "beyond max_frames_per_clip"):
        log.info("not used: %s; %s says what", ", ".join(f"{count} {reason}" for reason, count in counts.items()), out / "rejected.jsonl")


def gather_clips(raw: Path, rendered: Path, folders: Sequence[str], videos: VideoParameters) -> tuple[list[ClipRecord], list[dict]]:
    """The clips of all sources, and rejected rows for the user's videos that cannot be opened. Rendered test clips and head scans
    are not among them."""
    clips = [clip for clip in read_clips(rendered / "clips.jsonl") if clip.kind == "rendered" and clip.split != "test"]
    clips += packaged_clips(raw)
    own, rejected = readable_clips(
        {"path": path, "clip_id": clip_id, "split": "train", "identity": clip_id, "source": folder, "licence": "user"}
        for folder, clip_id, path in own_videos(folders)
    )
    research, unreadable = research_clips(videos)
    clips += own + research
    ids = [clip.clip_id for clip in clips]
    repeated = sorted({clip_id for clip_id in ids if ids.count(clip_id) > 1})
    if repeated:
        raise ValueError(f"clip ids {repeated} occur twice: rename the videos or the folders of params.yaml, crop.folders")
    return clips, rejected + unreadable


def check_unreadable(rejected: Sequence[dict], allowed: int) -> None:
    """Raises ValueError where more videos are damaged than `allowed`."""
    messages = [row["detail"] for row in rejected if row["reason"] == "unreadable"]
    if len(messages) > allowed:
        raise ValueError(f"{'; '.join(messages)}. Damaged videos: {len(messages)}; crop.max_unreadable in params.yaml allows {allowed}")


@dataclass(frozen=True)
class Stills:
    """One split of S. table: the columns of the rendered ones, see `stills_schema`; faces: the real ones."""

    table: dict[str, np.ndarray]
    faces: list[LabelledFace]


def _read_stills(rendered: Path, faces: Sequence[LabelledFace], split: str, num_landmarks: int, with_rendered: bool) -> Stills:
    if with_rendered:
        table = read_table(rendered / f"stills_{split}.parquet", stills_schema(num_landmarks))
    else:
        table = {name: np.empty(0, object) for name in stills_schema(num_landmarks).names}
        table |= {name: np.empty((0, num_landmarks), bool) for name in ("valid", "visible")}
        table["points_frame"] = np.empty((0, num_landmarks, 2), np.float32)
    return Stills(table, [face for face in faces if face.split == split])


def _write_reference(
    out: Path, stills: Stills, scheme: LandmarkScheme, parameters: CropParameters, pool: ProcessPoolExecutor
) -> tuple[np.ndarray, np.ndarray]:
    """Reference shape and face template of the training stills; written to reference.json."""
    table, num_rendered = stills.table, len(stills.table["image"])
    points = np.concatenate([table["points_frame"], *(face.points_frame[None] for face in stills.faces)])
    complete = np.flatnonzero(np.concatenate([table["valid"], *(face.valid[None] for face in stills.faces)]).all(1))
    if len(complete) == 0:
        raise ValueError(
            f"none of the {len(points)} training stills has all landmarks labelled, and the reference shape needs some: label more, or "
            "lower the shares val and test of params.yaml, labels"
        )
    complete = complete[np.ptp(points[complete], axis=1).max(1) >= LEAST_SIDE]
    if len(complete) == 0:
        raise ValueError(
            f"the labels of every training still lie within {LEAST_SIDE} pixels; are they shares of the picture's size? Give pixels"
        )
    shape = mean_shape(points[complete], parameters.size, parameters.fill)
    _warn_of_mirror(shape, scheme)
    chosen = complete[np.unique(np.linspace(0, len(complete) - 1, min(len(complete), parameters.calibration_stills)).astype(int))]
    columns = (table[name][chosen[chosen < num_rendered]] for name in ("image", "image_id", "points_frame"))
    files = by_file(stills.faces[index - num_rendered] for index in chosen if index >= num_rendered)
    in_picture = partial(_find_five_points, reference_shape=shape, size=parameters.size)
    in_file = partial(_find_five_points_in_file, reference_shape=shape, size=parameters.size)
    results = chain(pool.map(in_picture, *columns, chunksize=8), chain.from_iterable(pool.map(in_file, files)))
    found = list(progress(results, "calibrate", len(chosen)))
    template = face_template(found, parameters.min_calibrated)
    log.info("face template from %d of %d stills", sum(five is not None for five in found), len(chosen))
    content = {
        "scheme": scheme.name,
        "size": parameters.size,
        "reference_shape": shape.astype(float).round(4).tolist(),
        "face_template": template.astype(float).round(4).tolist(),
    }
    write_json(out / "reference.json", content)
    # What is used here is what others read back.
    return np.array(content["reference_shape"], np.float32), np.array(content["face_template"], np.float32)


def _warn_of_mirror(shape: np.ndarray, scheme: LandmarkScheme) -> None:
    """Faces are learned from mirrored as well, so that a wrong `mirror` teaches wrong names."""
    away = _deformation((shape * [-1, 1])[list(scheme.mirror)].astype(np.float32), shape)
    if away.max() > LARGEST_ASYMMETRY:
        worst = int(away.argmax())
        log.warning(
            "scheme %r: the mean face is far from its mirror image, at %r, whose partner in `mirror` is %r: is that right?",
            scheme.name,
            scheme.names[worst],
            scheme.names[scheme.mirror[worst]],
        )


def _deformation(points: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """(L,): how far points (L, 2), laid over the reference (L, 2), lie from it, as a share of its radius (root mean square)."""
    laid = fit_similarity(points, reference, 1).to_crop(points)
    return np.linalg.norm(laid - reference, axis=1) / np.sqrt(np.square(reference - reference.mean(0)).sum(1).mean())


def _find_five_points(image: bytes, name: str, points_frame: np.ndarray, *, reference_shape: np.ndarray, size: int) -> np.ndarray | None:
    return five_points_in_crop(decode_image(image, name), points_frame, reference_shape, size, face_detector())


def _find_five_points_in_file(faces: list[LabelledFace], *, reference_shape: np.ndarray, size: int) -> list[np.ndarray | None]:
    found: list[np.ndarray | None] = []
    try:
        for face, picture in zip(faces, pictures_of(faces), strict=True):
            found.append(five_points_in_crop(picture, face.points_frame, reference_shape, size, face_detector()))
    except ValueError as error:  # cutting the crops rejects it
        log.debug("%s", error)
    return found + [None] * (len(faces) - len(found))


def _write_stills(
    out: Path, stills: Stills, split: str, reference_shape: np.ndarray, parameters: CropParameters, pool: ProcessPoolExecutor
) -> tuple[list[dict], list[dict]]:
    """Crops of one split; returns the rejected rows of rendered and of real stills."""
    num_landmarks, table, files = len(reference_shape), stills.table, by_file(stills.faces)
    faces = list(chain.from_iterable(files))
    cut_picture = partial(_crop_one_still, reference_shape=reference_shape, parameters=parameters)
    cut_file = partial(_crop_faces, reference_shape=reference_shape, parameters=parameters)
    columns = (table[name] for name in ("image", "image_id", "points_frame", "valid"))
    results = chain(pool.map(cut_picture, *columns, chunksize=CHUNK), chain.from_iterable(pool.map(cut_file, files)))
    total = len(table["image"]) + len(faces)
    crops = list(progress(results, f"crop stills {split}", total))
    ids = [*table["image_id"], *(face.image_id for face in faces)]
    rejected = [crop.row(image_id) if isinstance(crop, LabelError) else None for image_id, crop in zip(ids, crops, strict=True)]
    kept = [index for index, row in enumerate(rejected) if row is None]
    if not kept and split != "test":
        raise ValueError(
            f"no labelled still is left for the split {split}, which training needs: label more pictures, or change the shares val and test "
            "of params.yaml, labels"
        )
    points = np.array([crops[index][1] for index in kept], np.float32).reshape(-1, num_landmarks, 2)
    of_faces = {name: [getattr(face, name) for face in faces] for name in ("image_id", "identity", "split", "source", "licence")}
    joined = {name: [*table[name], *values] for name, values in of_faces.items()}
    visible = np.concatenate([table["visible"], *(face.valid[None] for face in faces)])
    columns = {name: [values[index] for index in kept] for name, values in joined.items()} | {
        "image": [crops[index][0] for index in kept],
        "points_crop": points,
        "valid": np.isfinite(points).all(-1),
        "visible": visible[kept],
    }
    write_table(out / f"stills_{split}.parquet", columns, still_crops_schema(num_landmarks))
    first = len(table["image"])
    return list(filter(None, rejected[:first])), list(filter(None, rejected[first:]))


def _crop_one_still(
    image: bytes, name: str, points: np.ndarray, valid: np.ndarray, *, reference_shape: np.ndarray, parameters: CropParameters
) -> tuple[bytes, np.ndarray] | LabelError:
    return _cropped(decode_image(image, name), points, valid.astype(bool), reference_shape, parameters)


def _crop_faces(
    faces: list[LabelledFace], *, reference_shape: np.ndarray, parameters: CropParameters
) -> list[tuple[bytes, np.ndarray] | LabelError]:
    """The crops of the faces of one file; of a file that cannot be decoded, the reason."""
    crops: list[tuple[bytes, np.ndarray] | LabelError] = []
    pictures = pictures_of(faces)
    for face in faces:
        try:
            picture = next(pictures)
        except ValueError as error:
            return crops + [LabelError("unreadable image", str(error))] * (len(faces) - len(crops))
        crops.append(
            _misplaced(picture, face)
            or _deformed(face, reference_shape)
            or _cropped(picture, face.points_frame, face.valid, reference_shape, parameters)
        )
    return crops


def _misplaced(picture: np.ndarray, face: LabelledFace) -> LabelError | None:
    """Why the labels cannot belong to the picture, None where they may."""
    (height, width), points = picture.shape[:2], face.points_frame[face.valid]
    if not len(points):
        return None  # too few labels, which is said elsewhere
    x, y = points.mean(0)
    if not (-0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5):
        return LabelError("labels outside the picture", f"their centre is x {x:.0f}, y {y:.0f}, the picture {width} x {height} pixels")
    if len(points) > 1 and np.ptp(points, 0).max() < LEAST_SIDE:
        return LabelError("labels without size", f"all lie within {LEAST_SIDE} pixels; are they shares of the picture's size? Give pixels")
    return None


def _deformed(face: LabelledFace, reference_shape: np.ndarray) -> LabelError | None:
    """Why the labels are none of a face, None where they may be."""
    known = np.flatnonzero(face.valid)
    away = _deformation(face.points_frame[known], reference_shape[known]) if len(known) > 2 else np.zeros(1)
    if away.max() <= LARGEST_DEFORMATION:
        return None
    return LabelError(
        "labels do not form a face",
        f"landmark {known[away.argmax()]} is far from where the others want it: is it misplaced, or are left and right exchanged?",
    )


def _cropped(picture: np.ndarray, points: np.ndarray, valid: np.ndarray, reference_shape: np.ndarray, parameters: CropParameters):
    cropped = crop_still(picture, points, valid, reference_shape, parameters)
    return LabelError("too few labels", cropped) if isinstance(cropped, str) else cropped


def _write_tracks(out: Path, clips: list[ClipRecord], template: np.ndarray, parameters: CropParameters, workers: int) -> list[dict]:
    """One table per track, tracks.jsonl; returns the rejected rows."""
    (out / "tracks").mkdir()
    # The longest clips first: no process is left alone with one at the end.
    order = sorted(range(len(clips)), key=lambda index: -min(clips[index].num_frames, parameters.max_frames_per_clip))
    cut = partial(crop_clip, template=template, parameters=parameters, out=out)
    results: list[CroppedClip | None] = [None] * len(clips)
    for index, result in zip(order, progress(map_clips(cut, [clips[i] for i in order], workers), "crop clips", len(clips)), strict=True):
        results[index] = result
    tracks = [row for result in results for row in result.tracks]
    write_json_lines(out / "tracks.jsonl", tracks)
    return [row for result in results for row in result.rejected]


def _log_unread(rejected: Sequence[dict], limit: int) -> None:
    frames = [row["last_frame"] - row["first_frame"] + 1 for row in rejected if row["reason"] == "beyond max_frames_per_clip"]
    if frames:
        log.info("not used: %d frames of %d clips, which lie beyond crop.max_frames_per_clip, %d", sum(frames), len(frames), limit)


if __name__ == "__main__":
    logs.run(main)
