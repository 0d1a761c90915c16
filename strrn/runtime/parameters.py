"""How the tracking loop checks itself: the `runtime` section of params.yaml, stored in the ONNX metadata at export."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import Enum


class Mode(Enum):
    """tracker: STRRN; the detector starts a face and checks it. detector: tracking by detection, every frame is detected anew."""

    tracker = "tracker"
    detector = "detector"


@dataclass(frozen=True)
class RuntimeParameters:
    """Distances are in units of the face's `d` (inter-pupil distance for 68 points), counts in frames. docs/tracking.md explains each.

    detector_share: tracker mode; share of the detector's answer in every frame's points. 0: the tracker alone. The detector looks at every
        frame in `detect_every`; between, the points keep what it added to the tracker's.
    smoothing: tracker mode; how far a point may move of its own from frame to frame (see `Smoother`), less is calmer. 0: no smoothing.
    steadiness: tracker mode and refined points; how large an unexpected motion of the whole face is taken for noise in part (see
        `PoseFilter`), more is calmer and later. 0: as seen.
    cycle_every, max_cycle_error: tracker mode; how often to track back to the previous frame, and the error that is too much.
    verify_every, max_disagreement, min_confidence: tracker mode without a detector_share; how often the detector looks at the tracked face
        (otherwise it looks anyway); how far its points may be from the tracked ones, and the mean confidence that it needs.
    face_every: how often MTCNN is asked whether the face is there.
    max_shape_distance: of the points to the reference shape after a similarity; max_scale_jump: ratio of two frames' face sizes.
    min_inside: share of the points that must lie inside the frame.
    patience: failed frames in a row after which an uncertain face is lost.
    search_every: how often MTCNN searches the whole frame while there is no face, and about an uncertain one; new_face_every: how often the
        whole frame, while there are faces and more may be followed.
    remember: how long a lost face keeps its id for when it is found again near there.
    cut_difference: mean difference of two frames, in grey levels, above which the video was cut.
    """

    mode: Mode
    detector_share: float
    detect_every: int
    smoothing: float
    steadiness: float
    cycle_every: int
    max_cycle_error: float
    verify_every: int
    max_disagreement: float
    min_confidence: float
    face_every: int
    max_shape_distance: float
    max_scale_jump: float
    min_inside: float
    patience: int
    search_every: int
    new_face_every: int
    remember: int
    cut_difference: float

    def __post_init__(self) -> None:
        if not isinstance(self.mode, Mode):
            raise ValueError(f"mode: found {self.mode!r}, expected one of {[mode.name for mode in Mode]}")
        if not 0 <= self.detector_share < 1:
            raise ValueError(f"detector_share: found {self.detector_share}, expected a share in [0, 1)")
        for name in ("detect_every", "cycle_every", "verify_every", "face_every", "patience", "search_every", "new_face_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: found {getattr(self, name)}, expected at least 1 frame")
        for name in ("smoothing", "steadiness", "remember", "cut_difference"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}: found {getattr(self, name)}, expected at least 0")
        for name in ("max_cycle_error", "max_disagreement", "max_shape_distance"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: found {getattr(self, name)}, expected a distance above 0")
        for name in ("min_confidence", "min_inside"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: found {getattr(self, name)}, expected a share in [0, 1]")
        if not self.max_scale_jump > 1:
            raise ValueError(f"max_scale_jump: found {self.max_scale_jump}, expected a ratio above 1")


def parameters_to_dict(parameters: RuntimeParameters) -> dict:
    """JSON-safe; `parameters_from_dict` reads it back."""
    return asdict(parameters) | {"mode": parameters.mode.name}


def parameters_from_dict(content: Mapping, origin: str) -> RuntimeParameters:
    """Raises ValueError naming `origin` where a key is missing, unknown or out of range."""
    names = [field.name for field in fields(RuntimeParameters)]
    missing, unknown = sorted(set(names) - set(content)), sorted(set(content) - set(names))
    if missing or unknown:
        raise ValueError(f"{origin}: missing parameters {missing}, unknown parameters {unknown}. Export the model again (dvc repro export)")
    if content["mode"] not in Mode.__members__:
        raise ValueError(f"{origin}: mode {content['mode']!r} is not one of {[mode.name for mode in Mode]}")
    try:
        return RuntimeParameters(**(dict(content) | {"mode": Mode[content["mode"]]}))
    except ValueError as error:
        raise ValueError(f"{origin}: {error}") from error
