"""The exported pair of models as onnxruntime sessions. All that the loop has to know stands in the files' own metadata."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from strrn.core.heatmaps import patches_around
from strrn.core.images import reduce_image
from strrn.core.landmarks import LandmarkScheme, scheme_from_dict, scheme_to_dict
from strrn.core.mirror import both_ways
from strrn.core.model_files import CURE, DETECTOR_FILE, TRACKER_FILE
from strrn.runtime.backbone import OnnxBackbone, contract_from_dict
from strrn.runtime.loop import FaceTracker, Models
from strrn.runtime.parameters import Mode, RuntimeParameters, parameters_from_dict
from strrn.runtime.refine import STATE, Look, Refinement

if TYPE_CHECKING:
    import onnxruntime

    from strrn.core.face_detection import FaceDetection

METADATA_KEYS = ("kind", "scheme", "reference_shape", "face_template", "size", "stride", "runtime", "round", "versions", "licence")
REFINER_FILE, BACKBONE_FILE = "refiner.onnx", "backbone.onnx"  # the second only where the head was trained over somebody's own model


@dataclass(frozen=True)
class ModelInfo:
    """What an exported file says of itself.

    kind: tracker or detector. reference_shape (L, 2), face_template (5, 2): in pixels of a crop of `size`. stride: the network reads the
    crop averaged over blocks of stride x stride pixels. round: of the training.
    versions: package -> version at export. licence: licences of the training data, which bind the weights.
    """

    path: Path
    kind: str
    scheme: LandmarkScheme
    reference_shape: np.ndarray
    face_template: np.ndarray
    size: int
    stride: int
    runtime: RuntimeParameters
    round: str
    versions: dict[str, str]
    licence: str


def open_session(path: Path | str, num_threads: int = 1) -> "onnxruntime.InferenceSession":
    """A session on the CPU, of anybody's model. Raises FileNotFoundError, or ValueError for a file that is not a model."""
    import onnxruntime
    from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, InvalidGraph, InvalidProtobuf, NoSuchFile

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no model at {path}: {CURE}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except (Fail, InvalidArgument, InvalidGraph, InvalidProtobuf, NoSuchFile) as error:
        raise ValueError(f"{path} is not an ONNX model that onnxruntime can load: {str(error).splitlines()[0]}") from error


def open_model(path: Path | str, num_threads: int = 1) -> tuple["onnxruntime.InferenceSession", ModelInfo]:
    """A session on the CPU and what the file says of itself.

    Raises FileNotFoundError, or ValueError for a file that is not a model, is not of this project, or has metadata that cannot be.
    """
    session = open_session(path, num_threads)
    return session, _read_info(Path(path), session.get_modelmeta().custom_metadata_map)


def _read_info(path: Path, raw: dict[str, str]) -> ModelInfo:
    missing = [key for key in METADATA_KEYS if key not in raw]
    if missing:
        raise ValueError(f"{path} is an ONNX model, but not one that this project exported: its metadata lacks {missing}")
    try:
        content = {key: json.loads(raw[key]) for key in METADATA_KEYS}
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: its metadata is not JSON: {error}") from error
    scheme = scheme_from_dict(content["scheme"], origin=str(path))
    reference = np.array(content["reference_shape"], np.float32)
    template = np.array(content["face_template"], np.float32)
    if reference.shape != (scheme.num_landmarks, 2) or template.shape != (5, 2):
        raise ValueError(
            f"{path}: reference_shape {reference.shape} and face_template {template.shape}, "
            f"expected {(scheme.num_landmarks, 2)} and (5, 2) for scheme {scheme.name!r}"
        )
    return ModelInfo(
        path=path,
        kind=str(content["kind"]),
        scheme=scheme,
        reference_shape=reference,
        face_template=template,
        size=int(content["size"]),
        stride=int(content["stride"]),
        runtime=parameters_from_dict(content["runtime"], origin=str(path)),
        round=str(content["round"]),
        versions=dict(content["versions"]),
        licence=str(content["licence"]),
    )


class FaceFinder(Protocol):
    """`strrn.core.face_detection.FaceDetector`, or what stands for it."""

    def __call__(self, image: np.ndarray) -> "list[FaceDetection] | None": ...

    def near(self, image: np.ndarray, box: np.ndarray) -> "list[FaceDetection]": ...

    def confirm(self, image: np.ndarray, five_points: np.ndarray) -> "FaceDetection | None": ...


class ModelPair:
    """tracker.onnx and detector.onnx of one folder, as the callables that the loop takes.

    Raises FileNotFoundError or ValueError where a file is missing, is no model, is of the wrong kind, or the two do not belong together.
    """

    def __init__(self, folder: Path | str, num_threads: int = 1) -> None:
        self._folder, self._num_threads = folder, num_threads = Path(folder), num_threads
        missing = [name for name in (TRACKER_FILE, DETECTOR_FILE) if not (folder / name).is_file()]
        if missing:
            raise FileNotFoundError(f"no {' and no '.join(missing)} in {folder.absolute()}: {CURE}")
        self._tracker, self.info = open_model(folder / TRACKER_FILE, num_threads)
        self._detector, self._detector_info = open_model(folder / DETECTOR_FILE, num_threads)
        self._remembers = any(value.name == "crop_before" for value in self._tracker.get_inputs())
        for info, kind in ((self.info, "tracker"), (self._detector_info, "detector")):
            if info.kind != kind:
                raise ValueError(f"{info.path} is a {info.kind}, expected a {kind}: {CURE}")
        for what, ours, theirs in (
            ("landmark schemes", scheme_to_dict(self.info.scheme), scheme_to_dict(self._detector_info.scheme)),
            ("reference shapes", self.info.reference_shape.tolist(), self._detector_info.reference_shape.tolist()),
            ("crop sizes", self.info.size, self._detector_info.size),
            ("rounds", self.info.round, self._detector_info.round),
        ):
            if ours != theirs:
                raise ValueError(
                    f"{TRACKER_FILE} and {DETECTOR_FILE} in {folder} have different {what} "
                    f"({_short(ours)} and {_short(theirs)}): export both from one round"
                )

    @property
    def stride(self) -> int:
        """Crops are taken as means of blocks of stride x stride pixels, the coarsest that both networks can be given."""
        return math.gcd(self.info.stride, self._detector_info.stride)

    def detect(self, crops: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """N crops (size // stride, size // stride, 3) uint8 RGB -> points_crop (N, L, 2), confidence (N, L)."""
        images = self._images(crops, self._detector_info)
        points, confidence = self._detector.run(["points_crop", "confidence"], {"crop": images})
        return points, confidence

    def track(
        self, crops: Sequence[np.ndarray], start_points_crop: np.ndarray, crops_before: Sequence[np.ndarray], points_before_crop: np.ndarray
    ) -> np.ndarray:
        """N crops (size // stride, size // stride, 3) uint8 RGB, start_points_crop (N, L, 2) -> points_crop (N, L, 2). Those before, of the
        frame that the start comes from, are read by a tracker with appearance memory only."""
        feed = {"crop": self._images(crops, self.info), "start_points_crop": np.asarray(start_points_crop, np.float32)}
        if self._remembers:
            feed["crop_before"] = self._images(crops_before, self.info)
            feed["points_before_crop"] = np.asarray(points_before_crop, np.float32)
        return self._tracker.run(["points_crop"], feed)[0]

    def detect_twice(self, crops: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """`detect`, with the mean of the detector's points and of those that the tracker sees when it starts there."""
        points, confidence = self.detect(crops)
        return (points + self.track(crops, points, crops, points)) / 2, confidence

    def refinement(self) -> Refinement:
        """BRF's head in refiner.onnx, over the detector or over backbone.onnx beside it.

        Raises FileNotFoundError or ValueError where it is missing, is of another kind, or belongs to another detector.
        """
        path = self._folder / REFINER_FILE
        if not path.is_file():
            raise FileNotFoundError(f"no {REFINER_FILE} in {self._folder.absolute()}: {CURE}")
        session, info = open_model(path, self._num_threads)
        if info.kind != "refiner":
            raise ValueError(f"{path} is a {info.kind}, expected a refiner: {CURE}")
        if (info.round, info.reference_shape.tolist()) != (self.info.round, self.info.reference_shape.tolist()):
            raise ValueError(f"{path} was trained over another detector (round {info.round}, expected {self.info.round}): {CURE}")
        inputs = {value.name: value.shape for value in session.get_inputs()}
        outputs = [value.name for value in session.get_outputs()]
        about = json.loads(session.get_modelmeta().custom_metadata_map["refiner"])
        if about["contract"] is None:
            look = partial(self._look, unit=about["unit"], side=about["patch_size"], has_patches="patches" in inputs)
        else:
            contract = contract_from_dict(about["contract"], str(path))
            look = OnnxBackbone(
                open_session(self._folder / BACKBONE_FILE, self._num_threads),
                contract,
                info.reference_shape,
                info.size,
                about["unit"],
                about["patch_size"],
            )

        def step(feed: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
            return dict(zip(outputs, session.run(outputs, dict(feed)), strict=True))

        first = {name: np.zeros([1, *inputs[name][1:]], np.float32) for name in STATE}
        return Refinement(look, step, first)

    def _look(
        self, crops: Sequence[np.ndarray], unit: float, side: int, has_patches: bool
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """`detect`, with what lies about the points in the detector's own heatmaps where the head wants to see them."""
        if not has_patches:
            return *self.detect(crops), None
        outputs = ["points_crop", "confidence", "heatmaps"]
        points, confidence, heatmaps = self._detector.run(outputs, {"crop": self._images(crops, self._detector_info)})
        stride = self.info.size / heatmaps.shape[-1]
        return points, confidence, patches_around(heatmaps, (points + 0.5) / stride - 0.5, unit / stride, side)

    def face_tracker(
        self,
        faces: FaceFinder,
        parameters: RuntimeParameters | None = None,
        max_faces: int = 1,
        refine: bool = False,
        single_pictures: bool = False,
    ) -> FaceTracker:
        """The loop over these models. parameters: None takes those stored in the file. refine: see `refinement`; sets the mode to
        detector. single_pictures (not with refine): points are the mean of both networks' (`detect_twice`), on the picture and on its
        mirror image (`both_ways`)."""
        info = self.info
        parameters = parameters or info.runtime
        refinement = self.refinement() if refine else None
        detect = partial(both_ways, self.detect_twice, info.scheme, info.size) if single_pictures else self.detect
        if refinement is not None:
            parameters = replace(parameters, mode=Mode.detector)
            detect = partial(without_patches, refinement.look)
        models = Models(
            detect=detect,
            track=self.track,
            find_faces=faces,
            find_near=faces.near,
            confirm_face=faces.confirm,
            scheme=info.scheme,
            reference_shape=info.reference_shape,
            face_template=info.face_template,
            size=info.size,
            stride=self.stride,
            refinement=refinement,
        )
        return FaceTracker(models, parameters, max_faces)

    def _images(self, crops: Sequence[np.ndarray], info: ModelInfo) -> np.ndarray:
        return np.stack([reduce_image(crop, info.stride // self.stride) for crop in crops])


def without_patches(look: Look, crops: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    points, confidence, _ = look(crops)
    return points, confidence


def _short(value: object) -> str:
    text = value["name"] if isinstance(value, dict) else repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
