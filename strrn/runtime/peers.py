"""Other landmark trackers beside which `strrn bench` puts its own: the same frames, the same core.

Their programs come with the extra `bench`, their models with `python -m benchmarks.peers`.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

Follow = Callable[[np.ndarray, int], list[np.ndarray]]  # frame (H, W, 3) uint8 RGB, milliseconds -> points (L, 2) of each face, in pixels
WARM_UP = 3
MILLISECONDS = 40  # between two frames


@dataclass(frozen=True)
class Peer:
    """module: what is imported; model: its file; open: file, number of faces, is it a video -> its tracker, for a `with` block."""

    name: str
    module: str
    model: str
    open: Callable[[Path, int, bool], AbstractContextManager[Follow]]

    def missing(self, models: Path) -> str:
        """What has to be done before it can run; empty if nothing."""
        if find_spec(self.module) is None:
            return "pip install '.[bench]' in a clone"
        return "" if (models / self.model).is_file() else f"python -m benchmarks.peers, in a checkout (no {self.model} in {models})"


@contextmanager
def _dlib(model: Path, num_faces: int, video: bool) -> Iterator[Follow]:
    """Ensemble of regression trees (Kazemi and Sullivan, 2014) in the largest boxes of dlib's own detector; it knows no time."""
    import dlib

    find, predict = dlib.get_frontal_face_detector(), dlib.shape_predictor(str(model))

    def follow(frame: np.ndarray, milliseconds: int) -> list[np.ndarray]:
        boxes = sorted(find(frame, 0), key=lambda box: box.area(), reverse=True)
        shapes = [predict(frame, box) for box in boxes[:num_faces]]
        return [np.array([(point.x, point.y) for point in shape.parts()], np.float32) for shape in shapes]

    yield follow


@contextmanager
def _mediapipe(model: Path, num_faces: int, video: bool) -> Iterator[Follow]:
    """MediaPipe's Face Landmarker, 478 points, in its VIDEO mode, or every picture on its own."""
    import mediapipe
    from mediapipe.tasks.python import BaseOptions, vision

    mode = vision.RunningMode.VIDEO if video else vision.RunningMode.IMAGE
    options = vision.FaceLandmarkerOptions(base_options=BaseOptions(model_asset_path=str(model)), running_mode=mode, num_faces=num_faces)
    with vision.FaceLandmarker.create_from_options(options) as landmarker:

        def follow(frame: np.ndarray, milliseconds: int) -> list[np.ndarray]:
            image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(frame))
            result = landmarker.detect_for_video(image, milliseconds) if video else landmarker.detect(image)
            # Its coordinates are shares of the picture, of whose left rim 0 is the outer edge.
            return [
                np.array([(point.x, point.y) for point in face], np.float32) * frame.shape[1::-1] - 0.5 for face in result.face_landmarks
            ]

        yield follow


PEERS = (
    Peer("dlib's 68 points (ERT)", "dlib", "shape_predictor_68_face_landmarks.dat", _dlib),
    Peer("MediaPipe Face Landmarker", "mediapipe", "face_landmarker_v2.task", _mediapipe),
)


def peer_speeds(models: Path, frames: Sequence[np.ndarray]) -> dict[str, dict]:
    """Of every peer `frames_per_second` and `share_with_face` over the frames, or `missing`: why it was not measured, or what to do."""
    speeds = {}
    for peer in PEERS:
        cure = peer.missing(models)
        if cure:
            speeds[peer.name] = {"missing": cure}
            continue
        try:
            with peer.open(models / peer.model, 1, True) as follow:
                speeds[peer.name] = _speed(follow, frames)
        except Exception as error:  # of whatever library: our own figures are measured already
            speeds[peer.name] = {"missing": f"{type(error).__name__}: {error}"}
    return speeds


def _speed(follow: Follow, frames: Sequence[np.ndarray]) -> dict[str, float]:
    for number in range(WARM_UP):
        follow(frames[0], number * MILLISECONDS)
    started, found = time.perf_counter(), 0
    for number, frame in enumerate(frames, WARM_UP):
        found += bool(follow(frame, number * MILLISECONDS))
    return {"frames_per_second": round(len(frames) / (time.perf_counter() - started), 1), "share_with_face": round(found / len(frames), 3)}
