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

# frame (H, W, 3) uint8 RGB, milliseconds -> points (L, 2) of the largest or first face in pixels, None without one
Follow = Callable[[np.ndarray, int], np.ndarray | None]
WARM_UP = 3
MILLISECONDS = 40  # between two frames


@dataclass(frozen=True)
class Peer:
    """module: what is imported; model: its file; open: file -> a tracker at the start of a video, for a `with` block."""

    name: str
    module: str
    model: str
    open: Callable[[Path], AbstractContextManager[Follow]]

    def missing(self, models: Path) -> str:
        """What has to be done before it can run; empty if nothing."""
        if find_spec(self.module) is None:
            return "pip install 'strrn[bench]'"
        return "" if (models / self.model).is_file() else f"python -m benchmarks.peers, in a checkout (no {self.model} in {models})"


@contextmanager
def _dlib(model: Path) -> Iterator[Follow]:
    """Ensemble of regression trees (Kazemi and Sullivan, 2014) in the boxes of dlib's own detector; it knows no time."""
    import dlib

    find, predict = dlib.get_frontal_face_detector(), dlib.shape_predictor(str(model))

    def follow(frame: np.ndarray, milliseconds: int) -> np.ndarray | None:
        boxes = find(frame, 0)
        if not boxes:
            return None
        shape = predict(frame, max(boxes, key=lambda box: box.area()))
        return np.array([(point.x, point.y) for point in shape.parts()], np.float32)

    yield follow


@contextmanager
def mediapipe_landmarker(model: Path, video: bool = True) -> Iterator[Follow]:
    """MediaPipe's Face Landmarker, 478 points, in its VIDEO mode; without `video` every picture is one on its own."""
    import mediapipe
    from mediapipe.tasks.python import BaseOptions, vision

    mode = vision.RunningMode.VIDEO if video else vision.RunningMode.IMAGE
    options = vision.FaceLandmarkerOptions(base_options=BaseOptions(model_asset_path=str(model)), running_mode=mode, num_faces=1)
    with vision.FaceLandmarker.create_from_options(options) as landmarker:

        def follow(frame: np.ndarray, milliseconds: int) -> np.ndarray | None:
            image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(frame))
            result = landmarker.detect_for_video(image, milliseconds) if video else landmarker.detect(image)
            faces = result.face_landmarks
            if not faces:
                return None
            # Its coordinates are shares of the picture, of whose left rim 0 is the outer edge.
            return np.array([(point.x, point.y) for point in faces[0]], np.float32) * frame.shape[1::-1] - 0.5

        yield follow


PEERS = (
    Peer("dlib's 68 points (ERT)", "dlib", "shape_predictor_68_face_landmarks.dat", _dlib),
    Peer("MediaPipe Face Landmarker", "mediapipe", "face_landmarker_v2.task", mediapipe_landmarker),
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
            with peer.open(models / peer.model) as follow:
                speeds[peer.name] = _speed(follow, frames)
        except Exception as error:  # of whatever library: our own figures are measured already
            speeds[peer.name] = {"missing": f"{type(error).__name__}: {error}"}
    return speeds


def _speed(follow: Follow, frames: Sequence[np.ndarray]) -> dict[str, float]:
    for number in range(WARM_UP):
        follow(frames[0], number * MILLISECONDS)
    started, found = time.perf_counter(), 0
    for number, frame in enumerate(frames, WARM_UP):
        found += follow(frame, number * MILLISECONDS) is not None
    return {"frames_per_second": round(len(frames) / (time.perf_counter() - started), 1), "share_with_face": round(found / len(frames), 3)}
