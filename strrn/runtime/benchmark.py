"""How fast an exported pair runs on one core of this machine."""

import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np

from strrn.core.face_detection import FaceDetector
from strrn.core.video import read_frames
from strrn.runtime.models import ModelPair

WARM_UP = 3


def step_milliseconds(step: Callable[..., object], arguments: Sequence[tuple]) -> float:
    """Median time of a call, over one call with each of the arguments, after a few that do not count."""
    for values in arguments[:WARM_UP]:
        step(*values)
    times = []
    for values in arguments:
        started = time.perf_counter()
        step(*values)
        times.append(time.perf_counter() - started)
    return 1000 * median(times)


def loop_frames_per_second(pair: ModelPair, video: Path, max_frames: int) -> tuple[float, float]:
    """(frames per second of the whole loop over decoded frames of the video, share of them with a face).

    The loop is everything but the video's decoding: crops, networks, checks, face detection. Raises VideoError for a bad video.
    """
    frames: list[np.ndarray] = []
    for _, _, frame in read_frames(video):
        frames.append(frame)
        if len(frames) == max_frames:
            break
    find_faces = FaceDetector()
    find_faces(frames[0])  # loads its networks
    tracker = pair.face_tracker(find_faces)
    started = time.perf_counter()
    with_points = sum(tracker(frame).has_points for frame in frames)
    return len(frames) / (time.perf_counter() - started), with_points / len(frames)


def machine() -> str:
    """Processor's name and architecture: what a speed is worth nothing without."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return f"{line.partition(':')[2].strip()}, {platform.machine()}, one thread"
    return f"{platform.processor() or platform.system()}, {platform.machine()}, one thread"
