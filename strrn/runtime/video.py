"""Runs a tracker over the frames of a video or a camera: an overlay video, a table of landmarks, and a summary."""

import itertools
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from strrn.core.video import VideoError, VideoFormat, VideoWriter
from strrn.runtime.loop import State
from strrn.runtime.overlay import draw
from strrn.runtime.tables import landmark_table
from strrn.runtime.tracker import Tracker

FORMATS = {".mp4": VideoFormat.h264, ".webm": VideoFormat.vp9}
QUALITIES = {VideoFormat.h264: 20, VideoFormat.vp9: 32}

Frames = Iterable[tuple[int, float, np.ndarray]]


@dataclass(frozen=True)
class Loss:
    """Frames first..last (both included) without a face that was there before; reason: what was noticed."""

    face_id: int
    first: int
    last: int
    reason: str


@dataclass(frozen=True)
class Summary:
    """frames: read; with_points: of these, those with a face; searched: those before the first face; faces: ids that were given; losses: in
    order; track_seconds: in the loop alone; seconds: with decoding, drawing and writing; damage: what ended the video after these frames,
    empty for its end."""

    frames: int
    with_points: int
    searched: int
    faces: int
    losses: list[Loss]
    track_seconds: float
    seconds: float
    damage: str


def track_frames(frames: Frames, tracker: Tracker, overlay: Path | None, table: Path | None, on_frame: Callable[[int], None]) -> Summary:
    """Track the faces in frames (number, seconds, RGB) and write `overlay` (.mp4 or .webm) and `table` (see `landmark_table`).

    on_frame is called with the number of frames done. Frames that end in a VideoError give both files up to there, and the summary says
    so; where not one can be read it is raised and nothing is written. The overlay's frames have the times of the video's; frames of
    another size are fitted to the first one's.
    """
    started = time.perf_counter()
    track_seconds, done, with_points, searched, damage = 0.0, 0, 0, 0, ""
    losses: dict[int, Loss] = {}  # of the faces that are lost now
    ended: list[Loss] = []
    ids: set[int] = set()
    with ExitStack() as stack:
        # The table is the outer context: it does not appear if the video cannot be finished.
        write_rows = stack.enter_context(landmark_table(table, tracker.info.scheme)) if table else None
        kind = FORMATS[overlay.suffix.lower()] if overlay else None
        video = stack.enter_context(VideoWriter(overlay, None, QUALITIES[kind], kind)) if overlay else None
        size: tuple[int, int] | None = None  # of the overlay: width, height of the first frame
        try:
            for index, seconds, frame in frames:
                before = time.perf_counter()
                faces = tracker(frame, seconds)
                track_seconds += time.perf_counter() - before
                done, with_points = index + 1, with_points + any(face.has_points for face in faces)
                searched += not with_points
                for face in faces:
                    if face.state is State.lost:
                        losses[face.face_id] = Loss(face.face_id, index, index, face.reason)
                        continue
                    if face.face_id not in losses and face.face_id in ids:
                        continue
                    ids.add(face.face_id)
                    # Found again, or somebody new, who takes the place of the one that was lost first.
                    again = face.face_id if face.face_id in losses else next(iter(losses), None)
                    if again is not None:
                        ended.append(replace(losses.pop(again), last=index - 1))
                faces = faces or [tracker.nobody()]
                if video:
                    picture = draw(frame, faces, tracker.info.scheme, f"{seconds:.2f} s")
                    size = size or picture.shape[1::-1]
                    picture = picture if picture.shape[1::-1] == size else cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
                    video.write(picture, seconds)
                if write_rows:
                    write_rows(index, seconds, faces)
                on_frame(done)
        except VideoError as error:
            if done == 0:
                raise
            damage = str(error)
    ended += [replace(loss, last=done - 1) for loss in losses.values()]
    ended = [loss for loss in ended if loss.first <= loss.last]
    ended.sort(key=lambda loss: (loss.first, loss.face_id))
    return Summary(done, with_points, searched, len(ids), ended, track_seconds, time.perf_counter() - started, damage)


def camera_frames(number: int) -> Iterator[tuple[int, float, np.ndarray]]:
    """Frames of a camera, until Ctrl-C (a second one ends the program). Raises VideoError where there is no such camera, or when it gives no
    more pictures."""
    camera = cv2.VideoCapture(number)
    stop = threading.Event()
    before = signal.getsignal(signal.SIGINT)

    def end(*_: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, end)
    try:
        if not camera.isOpened():
            raise VideoError(f"camera {number} cannot be opened: is it plugged in, free, and may this program use it?")
        started = time.monotonic()
        for index in itertools.count():
            read, frame = camera.read()
            if stop.is_set() and index:
                return
            if not read or stop.is_set():
                raise VideoError(f"camera {number} gives no more pictures after {index} frames: was it unplugged?")
            yield index, time.monotonic() - started, np.ascontiguousarray(frame[..., ::-1])
    finally:
        signal.signal(signal.SIGINT, before)
        camera.release()
