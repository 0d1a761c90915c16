"""How fast an exported pair runs on one core of this machine."""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np

from strrn.core.face_detection import FaceDetector
from strrn.core.geometry import CropTransform, fit_similarity
from strrn.core.video import read_frames
from strrn.runtime.models import ModelPair
from strrn.runtime.peers import peer_speeds
from strrn.runtime.timing import letterboxed, loop_frames_per_second, machine, step_milliseconds
from strrn.runtime.tracker import Tracker
from strrn.runtime.video import track_frames

FRAMES = 300
FACES = 4
PEER_MODELS = Path("benchmarks/out/peers")
MEANINGS = {
    "step_ms_median": "ms   tracker, from crop to points",
    "step_ms_p95": "ms   95 % of them are faster",
    "detector_ms_median": "ms   detector, from crop to points",
    "cycle_ms_median": "ms   cycle check",
    "loop_frames_per_second": "frames/s, whole loop over decoded frames of 640 x 360",
    "four_faces_frames_per_second": "frames/s, the same with four faces in 1280 x 720",
    "file_frames_per_second": "frames/s, from the video's file to Parquet",
    "start_s": "s    from the start of Python to the first frame's landmarks",
    "peak_rss_mb": "MB   most memory in use",
}


def benchmark(models: Path, video: Path) -> dict:
    """The figures of MEANINGS, `peers` (see `peer_speeds`) and `machine`. Raises ValueError or OSError for models or a video that cannot be
    used."""
    cv2.setNumThreads(1)
    with _one_core():
        return _figures(models, video)


@contextmanager
def _one_core() -> Iterator[None]:
    """Where the system lets choose (Linux), this process and those that it starts stay on one core, whatever threads a library starts."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _figures(models: Path, video: Path) -> dict:
    pair = ModelPair(models)
    frames = letterboxed(video, FRAMES)
    faces = FaceDetector()
    steps, cycles = _material(pair, faces, frames)
    step, p95 = step_milliseconds(pair.track, steps)
    four = [np.tile(frame, (2, 2, 1)) for frame in frames]
    speed, followed = loop_frames_per_second(pair, four, FACES)
    if followed < 0.9 * FACES:
        raise ValueError(f"{video}: only {followed:.1f} of {FACES} faces side by side were followed; give a video with a larger face")
    figures = {
        "step_ms_median": step,
        "step_ms_p95": p95,
        "detector_ms_median": step_milliseconds(pair.detect, [(crops,) for crops, *_ in steps])[0],
        "cycle_ms_median": step_milliseconds(partial(_cycle, pair), cycles)[0],
        "loop_frames_per_second": loop_frames_per_second(pair, frames)[0],
        "four_faces_frames_per_second": speed,
    }
    with TemporaryDirectory() as folder:
        # In a Python of its own: what a user waits for, and how much memory that takes.
        command = [sys.executable, "-m", __name__, str(models), str(video), f"{folder}/landmarks.parquet", repr(time.time())]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise ValueError(f"{video} cannot be tracked from its file: {done.stderr.strip().splitlines()[-1]}")
    figures = {name: round(value, 3) for name, value in (figures | json.loads(done.stdout)).items()}
    return figures | {"peers": peer_speeds(PEER_MODELS, frames), "machine": machine()}


def _fresh(models: str, video: str, table: str, started: str) -> None:
    """Track a video's file and print the figures of the process as JSON; started: when Python was called."""
    cv2.setNumThreads(1)
    tracker = Tracker(models)
    _, seconds, frame = next(read_frames(video))
    tracker(frame, seconds)
    first = time.time() - float(started)
    tracker.reset()
    done = track_frames(read_frames(video), tracker, None, Path(table), lambda count: None)
    print(  # noqa: T201
        json.dumps({"start_s": first, "file_frames_per_second": done.frames / done.seconds, "peak_rss_mb": _peak_memory()})
    )


def _peak_memory() -> float:
    """Most memory that this process had, in MB."""
    status = Path("/proc/self/status")
    if status.is_file():  # what getrusage says on Linux holds the memory of the process that started this one
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) / 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # macOS


def _material(pair: ModelPair, faces: FaceDetector, frames: Sequence[np.ndarray]) -> tuple[list, list]:
    """What `ModelPair.track` is given for a step, and `_cycle` for a check. ValueError without a face."""
    tracker = pair.face_tracker(faces)
    steps, cycles, before = [], [], None
    for frame in frames:
        face = next(iter(tracker(frame)), None)
        if before is not None and before.has_points:
            transform = fit_similarity(before.points_frame, pair.info.reference_shape, pair.info.size)
            crop, start = [transform.crop(frame, pair.stride)], transform.to_crop(before.points_frame)[None]
            steps.append((crop, start, crop, start))
            cycles.append((crop, transform, before.points_frame))
        before = face
    if not steps:
        raise ValueError("no face is found in this video: give one with a face in view")
    return steps, cycles


def _cycle(pair: ModelPair, crop: Sequence[np.ndarray], transform: CropTransform, points: np.ndarray) -> np.ndarray:
    start = transform.to_crop(points)[None]
    return pair.track(crop, start, crop, start)


if __name__ == "__main__":
    _fresh(*sys.argv[1:])
