"""What a program uses that has frames and wants landmarks."""

import math
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from strrn.core.geometry import bounding_box
from strrn.core.images import as_rgb
from strrn.core.model_files import default_models
from strrn.runtime.loop import FaceState
from strrn.runtime.models import FaceFinder, ModelPair
from strrn.runtime.parameters import Mode

if TYPE_CHECKING:
    from strrn.core.face_detection import FaceDetection

FRAMES_PER_SECOND = 25.0  # in whose frames the loop counts time
LONGEST_STEP = 25.0
OLDEST_SEARCH = 0.5  # seconds; a face has moved on since


class RunningMode(Enum):
    """image: every picture on its own; both networks look at it and at its mirror image, which makes points of stills a little better.
    video: frames in order; the same frames give the same landmarks. live: frames of a camera; no frame waits for the search of a new face,
    which goes on beside, so that results depend on the machine's speed."""

    image = "image"
    video = "video"
    live = "live"


class Tracker:
    """Landmarks of the faces in a video, in the pictures of a camera, or in single pictures.

        tracker = Tracker(max_faces=2)
        for frame, seconds in my_frames:
            for face in tracker(frame, seconds):
                print(face.face_id, face.state, face.points_frame, face.confidence)

    models: folder of tracker.onnx and detector.onnx, None for `default_models`. running_mode: image, video or live, see RunningMode.
    channels: rgb or bgr. smooth: False gives the points as they are seen; with True these are in `raw_points_frame`. rotation: degrees
    clockwise (90, 180, 270) that bring the faces upright. method: tracker, or detector (every frame anew);
    None: as stored in the models. refine: the detector's points as BRF's head makes them those of a video (refiner.onnx), with method
    detector, and steadied, but not smoothed. min_face: side of the smallest face that is looked for, as a share of the picture's larger
    side; None: a tenth.
    info: what the models say of themselves, with the landmark scheme.
    Raises FileNotFoundError or ValueError for models that are missing, damaged, or do not fit each other.
    """

    def __init__(
        self,
        models: Path | str | None = None,
        *,
        running_mode: RunningMode | str = RunningMode.video,
        max_faces: int = 1,
        channels: str = "rgb",
        smooth: bool = True,
        rotation: int = 0,
        method: Mode | str | None = None,
        refine: bool = False,
        min_face: float | None = None,
        num_threads: int = 1,
    ) -> None:
        if rotation not in (0, 90, 180, 270):
            raise ValueError(f"rotation: found {rotation}, expected 0, 90, 180 or 270")
        if channels not in ("rgb", "bgr"):
            raise ValueError(f"channels: found {channels!r}, expected rgb or bgr")
        if refine and not smooth:
            raise ValueError("refine and smooth=False: points as they are seen are in raw_points_frame; ask for one of the two")
        if refine and method is not None and Mode(method) is not Mode.detector:
            raise ValueError(f"refine: of a detector's points, found method {Mode(method).name}; leave the method out")
        self._mode = RunningMode(running_mode)
        self._channels, self._turns = channels, rotation // 90
        pair = ModelPair(models or default_models(), num_threads)
        self.info = pair.info
        parameters = self.info.runtime
        if not smooth:
            parameters = replace(parameters, smoothing=0.0, steadiness=0.0)
        if method is not None:
            parameters = replace(parameters, mode=Mode(method))
        from strrn.core.face_detection import MIN_FACE, FaceDetector

        finder = _Background if self._mode is RunningMode.live else FaceDetector
        self._faces: FaceFinder = finder(MIN_FACE if min_face is None else min_face)
        self._loop = pair.face_tracker(self._faces, parameters, max_faces, refine, single_pictures=self._mode is RunningMode.image)
        self._seconds: float | None = None

    def reset(self) -> None:
        """Forget the faces: the next frame is the first of a video."""
        self._loop.reset()
        self._seconds = None
        if isinstance(self._faces, _Background):
            self._faces.forget()

    def nobody(self) -> FaceState:
        """What stands for a frame without a face: NaN, and whether one is searched for or was lost."""
        return self._loop.nobody()

    def __call__(self, frame: np.ndarray, seconds: float | None = None) -> list[FaceState]:
        """The faces of a picture; a face that was lost in this frame comes last, without points.

        frame: see `as_rgb`. seconds: its time, from any start; None: a twenty-fifth of a second after the frame before. Where time runs
        backwards another video begins. Raises ValueError for what is not a picture.
        """
        picture = as_rgb(frame, self._channels)
        if self._turns:
            picture = np.ascontiguousarray(np.rot90(picture, -self._turns))
        elapsed = 1.0
        if seconds is not None:
            if not math.isfinite(seconds):
                raise ValueError(f"seconds: found {seconds}, expected a time")
            if self._seconds is not None:
                if seconds < self._seconds:
                    self.reset()
                else:
                    elapsed = min((seconds - self._seconds) * FRAMES_PER_SECOND, LONGEST_STEP)
            self._seconds = seconds
        if self._mode is RunningMode.image:
            self._loop.reset()
        found = self._loop(picture, elapsed)
        return [_turned_back(face, self._turns, picture.shape) for face in found] if self._turns else found


class _Background:
    """A search that is never waited for: None while it runs, and its result once, unless that comes too late to be true."""

    def __init__(self, min_face: float) -> None:
        from strrn.core.face_detection import FaceDetector

        beside = FaceDetector()
        self.near, self.confirm = beside.near, beside.confirm
        self._faces = FaceDetector(min_face)  # networks of its own, which run beside those of the others
        self._pool = ThreadPoolExecutor(1)
        self._running: Future | None = None
        self._started = 0.0

    def __call__(self, image: np.ndarray) -> "list[FaceDetection] | None":
        running, now = self._running, time.monotonic()
        if running is not None and running.done():
            self._running = None
            if now - self._started <= OLDEST_SEARCH:
                return running.result()
        if self._running is None:
            self._running, self._started = self._pool.submit(self._faces, image.copy()), now
        return None

    def forget(self) -> None:
        """What runs now belongs to another video."""
        self._started = -OLDEST_SEARCH


def _turned_back(face: FaceState, turns: int, shape: tuple[int, ...]) -> FaceState:
    """A face of a picture of this shape that was turned clockwise, in the pixels of the picture before."""

    def back(points: np.ndarray) -> np.ndarray:
        height, width = shape[:2]
        for _ in range(turns):
            points = np.column_stack([points[:, 1], width - 1 - points[:, 0]]).astype(np.float32)
            height, width = width, height
        return points

    points = back(face.points_frame)
    return replace(face, points_frame=points, raw_points_frame=back(face.raw_points_frame), box=bounding_box(points))
