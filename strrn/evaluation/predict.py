"""Runs a round's pair of models over test clips and pictures: two systems, tracking by detection and STRRN, both inside the deployed
tracking loop.

Clips are mapped over processes; each is a pure function of the clip, the models and the parameters, so the number of processes changes
nothing. The cycle error of real clips needs the pixels, so it is measured here, where they are.
"""

import math
import multiprocessing
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa

from strrn.core.geometry import bounding_box, box_iou, fit_similarity
from strrn.core.landmarks import LandmarkScheme
from strrn.core.processes import start_worker
from strrn.core.progress import progress
from strrn.core.tables import predictions_schema, write_table
from strrn.core.video import read_frames
from strrn.evaluation.clips import EvaluationClip
from strrn.evaluation.stills import EvaluationStill, Tested
from strrn.runtime.loop import FaceState, FaceTracker, Models
from strrn.runtime.parameters import Mode, RuntimeParameters

SYSTEMS = {"detector": Mode.detector, "tracker": Mode.tracker}  # of a round
REFINED = "brf"  # of models with a refinement: with its head; `backbone` is the same without
MODES = SYSTEMS | {"backbone": Mode.detector, REFINED: Mode.detector}
SAME_FACE_IOU = 0.2  # of a face that is found in a picture, and the labelled one


@dataclass(frozen=True)
class ClipResult:
    """One system on one clip of T frames. points_frame (T, L, 2) and confidence (T, L): NaN without a face; state: T names; box (T, 4);
    cycle_error (T,): NaN where not measured."""

    points_frame: np.ndarray
    confidence: np.ndarray
    state: list[str]
    box: np.ndarray
    cycle_error: np.ndarray


def cycle_schema() -> pa.Schema:
    """Cycle error of each frame of the real clips, beside the prediction tables of a round."""
    return pa.schema([("system", pa.string()), ("clip_id", pa.string()), ("frame", pa.int32()), ("cycle_error", pa.float32())])


def torch_models(detector_file: Path, tracker_file: Path) -> Models:
    """A pair of checkpoints as callables on one thread. Called in every worker process."""
    import cv2
    import torch

    from strrn.core.face_detection import FaceDetector
    from strrn.core.landmarks import scheme_from_dict
    from strrn.models.checkpoint import load
    from strrn.models.pixels import network_input

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    detector, header = load(detector_file)
    tracker, _ = load(tracker_file)
    faces = FaceDetector()
    stride = math.gcd(detector.stride, tracker.stride)

    def detect(crops: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        with torch.inference_mode():
            points, confidence = detector(network_input(crops, detector.stride // stride))
        return points.numpy(), confidence.numpy()

    def track(crops: Sequence[np.ndarray], start: np.ndarray, crops_before: Sequence[np.ndarray], before: np.ndarray) -> np.ndarray:
        def tensors(crops: Sequence[np.ndarray], points: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
            return network_input(crops, tracker.stride // stride), torch.from_numpy(np.ascontiguousarray(points, np.float32))

        with torch.inference_mode():
            return tracker(*tensors(crops, start), *tensors(crops_before, before)).numpy()

    return Models(
        detect=detect,
        track=track,
        find_faces=faces,
        find_near=faces.near,
        confirm_face=faces.confirm,
        scheme=scheme_from_dict(header["scheme"]),
        reference_shape=np.array(header["reference_shape"], np.float32),
        face_template=np.array(header["face_template"], np.float32),
        size=int(header["size"]),
        stride=stride,
    )


def cycle_error(models: Models, before: np.ndarray, after: np.ndarray, points_before: np.ndarray, points_after: np.ndarray) -> float:
    """The cycle check between two neighbouring frames: rmse(Track(I^{t-1}, p^t), p^{t-1}) / d.

    before, after: frames t-1 and t, RGB uint8; points_before, points_after: p^{t-1}, p^t in frame pixels. For the points of a detector this
    is L_det of Algorithm 1; for those of a tracker alone it is L_tck along its own path (with a `detector_share`, between the two;
    smoothing and the steadier face add to it).
    """
    transform = fit_similarity(points_after, models.reference_shape, models.size)
    crop, crop_after = (transform.crop(frame, models.stride) for frame in (before, after))
    start = transform.to_crop(points_after)[None]
    (back_crop,) = models.track([crop], start, [crop_after], start)
    back = transform.to_frame(back_crop)
    squared = np.square(back.astype(np.float64) - points_before).sum(-1)
    return float(np.sqrt(squared.mean()) / models.scheme.distance(points_before))


def run_clip(models: Models, clip: EvaluationClip, parameters: RuntimeParameters, max_frames: int | None) -> ClipResult:
    """Run the tracking loop over a clip's first `max_frames` frames (None: all). The cycle error is measured where there is no truth."""
    tracker = FaceTracker(models, parameters)
    faces, cycles, before = [], [], None
    for _, _, frame in islice(read_frames(clip.path), max_frames):
        face = (tracker(frame) or [tracker.nobody()])[0]
        measurable = clip.truth is None and before is not None and faces[-1].has_points and face.has_points
        cycles.append(cycle_error(models, before, frame, faces[-1].points_frame, face.points_frame) if measurable else np.nan)
        faces.append(face)
        before = frame
    return _result(faces, cycles)


def run_still(models: Models, still: EvaluationStill, parameters: RuntimeParameters) -> ClipResult:
    """Run the first frame of the tracking loop on a picture. Of all faces that it finds the one counts that overlaps the labelled face the
    most; where none does by `SAME_FACE_IOU`, the labelled face was not found."""
    tracker = FaceTracker(models, parameters, max_faces=sys.maxsize)
    found = [face for face in tracker(still.read()) if face.has_points]
    overlaps = [overlap(face.points_frame, still.points_frame) for face in found]
    best = int(np.argmax(overlaps)) if found else None
    face = tracker.nobody() if best is None or overlaps[best] < SAME_FACE_IOU else found[best]
    return _result([face], [np.nan])


def overlap(points: np.ndarray, labelled: np.ndarray) -> float:
    """Intersection over union of the squares about two shapes (L, 2), over the landmarks of the second that are not NaN.

    Squares, because the box of landmarks on a line, as those of the eyes, has hardly any height.
    """
    valid = np.isfinite(labelled).all(-1)
    return box_iou(_square(points[valid]), _square(labelled[valid]))


def _square(points: np.ndarray) -> np.ndarray:
    """(4,): the square about the middle of the points' box, as wide as its larger side."""
    box = bounding_box(points)
    centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]).max() / 2
    return np.concatenate([centre - half, centre + half])


def _result(faces: Sequence[FaceState], cycle_errors: Sequence[float]) -> ClipResult:
    return ClipResult(
        points_frame=np.stack([face.points_frame for face in faces]),
        confidence=np.stack([face.confidence for face in faces]),
        state=[face.state.name for face in faces],
        box=np.stack([face.box for face in faces]),
        cycle_error=np.array(cycle_errors, np.float32),
    )


def predict(
    clips: Sequence[Tested],
    load_models: Callable[[], Models],
    scheme: LandmarkScheme,
    parameters: RuntimeParameters,
    out: Path,
    *,
    max_frames: int,
    workers: int,
    systems: Sequence[str] = tuple(SYSTEMS),
) -> None:
    """Write `out`/<system>.parquet (predictions) and cycle.parquet for all clips; a picture is a clip of one frame.

    load_models: called once in every process; a function of a module, or a functools.partial of one. max_frames: limit for the clips
    without truth. workers: number of processes. systems: some of MODES.
    """
    jobs = [
        (system, clip, _of_system(system, parameters), max_frames if clip.truth is None else None) for system in systems for clip in clips
    ]
    # The longest clips first: no process is left alone with one at the end.
    order = sorted(range(len(jobs)), key=lambda index: -min(jobs[index][1].num_frames, jobs[index][3] or jobs[index][1].num_frames))
    results: list[ClipResult | None] = [None] * len(jobs)
    # Spawned, not forked: a fork of a process that has run torch can hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(jobs)), context, initializer=_start_worker, initargs=(load_models,)) as pool:
        finished = pool.map(_run_job, [jobs[index] for index in order])
        for index, result in zip(order, progress(finished, "predict", len(jobs)), strict=True):
            results[index] = result
    for system in systems:
        rows = [(clip.clip_id, result) for (name, clip, _, _), result in zip(jobs, results, strict=True) if name == system]
        write_table(out / f"{system}.parquet", _prediction_columns(rows), predictions_schema(scheme.num_landmarks))
    cycles = [(system, clip.clip_id, r.cycle_error) for (system, clip, _, _), r in zip(jobs, results, strict=True) if clip.truth is None]
    columns = {
        "system": [system for system, _, errors in cycles for _ in errors],
        "clip_id": [clip_id for _, clip_id, errors in cycles for _ in errors],
        "frame": [frame for _, _, errors in cycles for frame in range(len(errors))],
        "cycle_error": [error for _, _, errors in cycles for error in errors],
    }
    write_table(out / "cycle.parquet", columns, cycle_schema())


def _of_system(system: str, parameters: RuntimeParameters) -> RuntimeParameters:
    """BRF's head is compared with filters, so it stands without one of the face as a whole."""
    return replace(parameters, mode=MODES[system], steadiness=0.0 if system == REFINED else parameters.steadiness)


def _prediction_columns(rows: Sequence[tuple[str, ClipResult]]) -> dict:
    return {
        "clip_id": [clip_id for clip_id, result in rows for _ in result.state],
        "frame": np.concatenate([np.arange(len(result.state)) for _, result in rows]),
        "face_id": np.zeros(sum(len(result.state) for _, result in rows), int),
        "points_frame": np.concatenate([result.points_frame for _, result in rows]),
        "confidence": np.concatenate([result.confidence for _, result in rows]),
        "state": [state for _, result in rows for state in result.state],
        "box": np.concatenate([result.box for _, result in rows]),
    }


_models: Models | None = None


def _start_worker(load_models: Callable[[], Models]) -> None:
    start_worker()
    global _models
    _models = load_models()


def _run_job(job: tuple[str, Tested, RuntimeParameters, int | None]) -> ClipResult:
    assert _models is not None
    system, clip, parameters, max_frames = job
    models = _models if system == REFINED else replace(_models, refinement=None)
    if isinstance(clip, EvaluationStill):
        return run_still(models, clip, parameters)
    return run_clip(models, clip, parameters, max_frames)
