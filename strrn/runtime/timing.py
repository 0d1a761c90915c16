"""The measuring tape: frames to time with, and the time of a step, of the loop."""

import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from strrn.core.face_detection import FaceDetector
from strrn.core.video import read_frames
from strrn.runtime.models import ModelPair

WARM_UP = 3
HEIGHT, WIDTH = 360, 640


def letterboxed(video: Path, count: int) -> list[np.ndarray]:
    """Up to `count` frames of a video in 640 x 360, black where they are narrower. Raises VideoError for a bad video."""
    frames = []
    for _, _, frame in read_frames(video):
        scale = min(HEIGHT / frame.shape[0], WIDTH / frame.shape[1])
        size = round(frame.shape[1] * scale), round(frame.shape[0] * scale)
        left, top = (WIDTH - size[0]) // 2, (HEIGHT - size[1]) // 2
        canvas = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        canvas[top : top + size[1], left : left + size[0]] = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
        frames.append(canvas)
        if len(frames) == count:
            break
    return frames


def step_milliseconds(step: Callable[..., object], arguments: Sequence[tuple]) -> tuple[float, float]:
    """Median and 95 % quantile of the time of a call, over one call with each of the arguments, after a few that do not count."""
    for values in arguments[:WARM_UP]:
        step(*values)
    times = []
    for values in arguments:
        started = time.perf_counter()
        step(*values)
        times.append(time.perf_counter() - started)
    return 1000 * float(np.median(times)), 1000 * float(np.quantile(times, 0.95))


def loop_frames_per_second(pair: ModelPair, frames: Sequence[np.ndarray], max_faces: int = 1, refine: bool = False) -> tuple[float, float]:
    """(frames per second of the whole loop over decoded frames, faces with points in a frame, on average).

    The loop is everything but the video's decoding: crops, networks, checks, face detection.
    """
    find_faces = FaceDetector()
    find_faces(frames[0])  # loads its networks
    tracker = pair.face_tracker(find_faces, max_faces=max_faces, refine=refine)
    started = time.perf_counter()
    with_points = sum(sum(face.has_points for face in tracker(frame)) for frame in frames)
    return len(frames) / (time.perf_counter() - started), with_points / len(frames)


def machine() -> str:
    """Processor's name and architecture: what a speed is worth nothing without."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return f"{line.partition(':')[2].strip()}, {platform.machine()}, one thread"
    return f"{platform.processor() or platform.system()}, {platform.machine()}, one thread"
