"""Runs the tracking loop over a video file: an overlay video, a table of landmarks, and a summary."""

import csv
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from strrn.core.files import atomic
from strrn.core.landmarks import LandmarkScheme
from strrn.core.video import VideoError, VideoWriter, probe, read_frames
from strrn.runtime.loop import FaceState, FaceTracker, State
from strrn.runtime.overlay import draw

OVERLAY_QUALITY = 20


@dataclass(frozen=True)
class Loss:
    """Frames first..last (both included) without the face that was there before; reason: what was noticed."""

    first: int
    last: int
    reason: str


@dataclass(frozen=True)
class Summary:
    """frames: read; with_points: of these; losses: in order; track_seconds: in the loop alone; seconds: with decoding, drawing and
    writing; damage: what was wrong with the video after these frames, empty if nothing was."""

    frames: int
    with_points: int
    losses: list[Loss]
    track_seconds: float
    seconds: float
    damage: str


def track_video(
    video: Path,
    tracker: FaceTracker,
    scheme: LandmarkScheme,
    overlay: Path,
    table: Path,
    on_frame: Callable[[int], None],
) -> Summary:
    """Track the face of `video` and write `overlay` (H.264 MP4) and `table` (CSV); on_frame is called with the number of frames done.

    A video that is damaged after some frames gives both files up to there, and the summary says so. Raises FileNotFoundError or
    VideoError, and writes nothing, where not one frame can be read.
    """
    info = probe(video)
    started = time.perf_counter()
    track_seconds, frames, with_points, damage = 0.0, 0, 0, ""
    losses: list[Loss] = []
    with ExitStack() as stack:
        writer = stack.enter_context(VideoWriter(overlay, info.fps, OVERLAY_QUALITY))
        write_row = stack.enter_context(_landmark_table(table, scheme))
        try:
            for index, timestamp, frame in read_frames(video):
                before = time.perf_counter()
                face = tracker(frame)
                track_seconds += time.perf_counter() - before
                frames, with_points = index + 1, with_points + face.has_points
                if face.state is State.lost:
                    losses[-1:] = _with_lost_frame(losses[-1:], index, face.reason)
                writer.write(draw(frame, face, scheme, f"{timestamp:.2f} s"))
                write_row(index, timestamp, face)
                on_frame(frames)
        except VideoError as error:
            if frames == 0:
                raise
            damage = str(error)
    return Summary(frames, with_points, losses, track_seconds, time.perf_counter() - started, damage)


def _with_lost_frame(last: list[Loss], frame: int, reason: str) -> list[Loss]:
    """The last loss, made one frame longer where it reaches up to this frame, otherwise followed by a new one."""
    if last and last[0].last == frame - 1 and not reason:
        return [Loss(last[0].first, frame, last[0].reason)]
    return [*last, Loss(frame, frame, reason)]


@contextmanager
def _landmark_table(path: Path, scheme: LandmarkScheme) -> Iterator[Callable[[int, float, FaceState], None]]:
    """CSV: frame, timestamp, face_id, state, x0, y0, …, confidence0, …; what is not known is empty."""
    count = scheme.num_landmarks
    header = ["frame", "timestamp", "face_id", "state"]
    header += [f"{axis}{i}" for i in range(count) for axis in "xy"] + [f"confidence{i}" for i in range(count)]
    with atomic(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(header)

        def write_row(frame: int, timestamp: float, face: FaceState) -> None:
            values = [*_texts(face.points_frame.ravel(), 2), *_texts(face.confidence, 3)]
            rows.writerow([frame, f"{timestamp:.6f}", 0, face.state.name, *values])

        yield write_row


def _texts(values: np.ndarray, digits: int) -> list[str]:
    return [f"{value:.{digits}f}" if np.isfinite(value) else "" for value in values]
