"""Networks to ONNX files with their pre- and post-processing inside, and everything the runtime has to know in the metadata.

Graphs (batch size free):
    detector: crop (B, h, h, 3) uint8 RGB -> points_crop (B, L, 2), confidence (B, L), float32
    tracker:  crop (B, h, h, 3) uint8 RGB, start_points_crop (B, L, 2) float32 -> points_crop (B, L, 2) float32; one with appearance memory
              also reads crop_before, points_before_crop of the frame that the start comes from
    refiner:  points_crop, before_crop, moved_crop (B, L, 2), confidence, flow_error (B, L), state, and over a backbone with heatmaps patches
              (B, L, m, m), all float32 -> refined_crop (B, L, 2), next state; the state is hidden, cell (B, L, C, k, k), motion (B, 4)
A detector with heatmaps also gives `heatmaps` (B, L, h, w). `crop` is the crop of `size` pixels averaged over blocks of stride x stride,
h = size // stride (both stand in the metadata): OpenCV does that twenty times faster than a graph. Points are in pixels of the whole crop.
Large weights are float16 in the file, float32 when it runs.

Exported by `dynamo=True`: it exports the hourglass's antialiased resizing, which the TorchScript exporter refuses; for MDM and STRRN
both give the same speed and parity.
"""

import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from strrn.core.files import atomic
from strrn.core.images import reduce_image
from strrn.models.brf import Refiner, RefinerState
from strrn.models.patches import Confidence
from strrn.models.pixels import to_float

if TYPE_CHECKING:
    import onnxruntime

OPSET = 20
REFINER_OUTPUTS = ["refined_crop", "next_hidden", "next_cell", "next_motion"]
LARGE = 60_000  # numbers in a weight. Smaller ones save little, and the last layers among them move points by hundredths of a pixel


class _DetectorGraph(nn.Module):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, crop: Tensor) -> tuple[Tensor, ...]:
        if not hasattr(self.module, "codec"):
            return self.module(to_float(crop))
        detection = self.module.detect(to_float(crop))
        return detection.points, Confidence.probability(detection.log_scale), detection.heatmaps[-1]


class RefinerGraph(nn.Module):
    """Inputs and outputs by name, in the order of `refiner_example`."""

    def __init__(self, module: Refiner) -> None:
        super().__init__()
        self.module = module

    def forward(
        self,
        points_crop: Tensor,
        confidence: Tensor,
        before_crop: Tensor,
        moved_crop: Tensor,
        flow_error: Tensor,
        hidden: Tensor,
        cell: Tensor,
        motion: Tensor,
        patches: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        state = RefinerState(hidden, cell, motion)
        refined, state = self.module(points_crop, confidence, before_crop, moved_crop, flow_error, state, patches)
        return refined, state.hidden, state.cell, state.motion


class _TrackerGraph(nn.Module):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(
        self, crop: Tensor, start_points_crop: Tensor, crop_before: Tensor | None = None, points_before_crop: Tensor | None = None
    ) -> Tensor:
        if crop_before is None:
            return self.module(to_float(crop), start_points_crop)
        return self.module(to_float(crop), start_points_crop, to_float(crop_before), points_before_crop)


def export_detector(module: nn.Module, path: Path | str, metadata: Mapping[str, object]) -> None:
    """module: reduced images -> points_crop (B, L, 2), confidence (B, L), with its `stride`. metadata: see `_export`."""
    outputs = ["points_crop", "confidence", *(["heatmaps"] if hasattr(module, "codec") else [])]
    _export_of_crops(_DetectorGraph(module), {"crop": None}, outputs, path, {**metadata, "kind": "detector"})


def export_tracker(module: nn.Module, path: Path | str, metadata: Mapping[str, object]) -> None:
    """module: reduced images, start_points_crop (B, L, 2), and with `appearance_memory` the same of the frame before -> points_crop
    (B, L, 2), with its `stride`. metadata: see `_export`."""
    start = torch.tensor(metadata["reference_shape"], dtype=torch.float32).expand(2, -1, -1).contiguous()
    inputs = {"crop": None, "start_points_crop": start}
    if module.appearance_memory:
        inputs |= {"crop_before": None, "points_before_crop": start.clone()}
    _export_of_crops(_TrackerGraph(module), inputs, ["points_crop"], path, {**metadata, "kind": "tracker"})


def export_refiner(module: Refiner, path: Path | str, metadata: Mapping[str, object], contract: Mapping | None) -> None:
    """BRF's head for one frame, with its state as inputs and outputs. contract: of the backbone that a user brought (`runtime.backbone`),
    None for the detector. metadata: see `_export`."""
    about = {"unit": module.unit, "patch_size": module.patch_size, "contract": contract}
    example = refiner_example(module, torch.tensor(metadata["reference_shape"], dtype=torch.float32))
    graph = RefinerGraph(module)
    _export(graph, example, REFINER_OUTPUTS, path, {**metadata, "stride": 1, "kind": "refiner", "refiner": about})


def refiner_example(module: Refiner, points: Tensor) -> dict[str, Tensor]:
    """Inputs of the head for two faces at points (L, 2), by name."""
    points = points.expand(2, -1, -1).contiguous()
    state = module.first_state(2)
    example = {
        "points_crop": points,
        "confidence": torch.full(points.shape[:2], 0.5),
        "before_crop": points.clone(),
        "moved_crop": points.clone(),
        "flow_error": torch.zeros(points.shape[:2]),
        "hidden": state.hidden,
        "cell": state.cell.clone(),
        "motion": state.motion,
    }
    return example | ({"patches": torch.zeros(*points.shape[:2], module.patch_size, module.patch_size)} if module.has_patches else {})


def _export_of_crops(
    graph: nn.Module, inputs: Mapping[str, Tensor | None], outputs: list[str], path: Path | str, metadata: Mapping[str, object]
) -> None:
    """inputs: examples by name, None for a crop. metadata: see `_export`."""
    stride = graph.module.stride
    side = metadata["size"] // stride
    example = {name: torch.zeros(2, side, side, 3, dtype=torch.uint8) if value is None else value for name, value in inputs.items()}
    _export(graph, example, outputs, path, {**metadata, "stride": stride})


def _export(graph: nn.Module, example: Mapping[str, Tensor], outputs: list[str], path: Path | str, metadata: Mapping[str, object]) -> None:
    """example: inputs by name. metadata: values that JSON can hold; each becomes a JSON string under its key. `strrn.runtime.models` says
    which it reads."""
    texts = {key: json.dumps(value) for key, value in metadata.items()}
    batch = torch.export.Dim("batch")
    with _quiet_exporter():
        program = torch.onnx.export(
            graph.eval(),
            tuple(example.values()),
            input_names=list(example),
            output_names=outputs,
            dynamic_shapes=tuple({0: batch} for _ in example),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    model = program.model_proto
    _store_as_half(model)
    onnx.helper.set_model_props(model, texts)
    onnx.checker.check_model(model)
    with atomic(path) as temporary:
        onnx.save(model, temporary)


def _store_as_half(model: onnx.ModelProto) -> None:
    """Large weights are stored as float16 and widened when the file is loaded: little more than half the size, the same speed."""
    graph = model.graph
    large = [weight for weight in graph.initializer if weight.data_type == onnx.TensorProto.FLOAT and np.prod(weight.dims) >= LARGE]
    widening = []
    for weight in large:
        name = f"{weight.name}.half"
        values = onnx.numpy_helper.to_array(weight).astype(np.float16)
        graph.initializer.remove(weight)
        graph.initializer.append(onnx.numpy_helper.from_array(values, name))
        widening.append(onnx.helper.make_node("Cast", [name], [weight.name], to=onnx.TensorProto.FLOAT))
    nodes = [*widening, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """torch's exporter warns of its own use of deprecated functions, and of a missing torchvision, and of one axis with one name."""
    log = logging.getLogger("torch.onnx._internal.exporter._registration")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.filterwarnings("ignore", message="# The axis name", category=UserWarning)
            yield
    finally:
        log.setLevel(before)


def refiner_parity(module: Refiner, session: "onnxruntime.InferenceSession", frames: Sequence[Mapping[str, np.ndarray]]) -> float:
    """Largest difference between the network's refined points and the session's, in crop pixels, over the frames of a video in order.

    frames: inputs but the state by name, each (B, …); the state of each side is its own. All faces at once, and the first alone.
    """
    worst = 0.0
    for count in (len(frames[0]["points_crop"]), 1):
        start = module.first_state(count)
        state = {name: getattr(start, name) for name in ("hidden", "cell", "motion")}
        other = {name: value.numpy() for name, value in state.items()}
        for frame in frames:
            feed = {name: np.ascontiguousarray(value[:count], np.float32) for name, value in frame.items()}
            with torch.inference_mode():
                tensors = {name: torch.from_numpy(value) for name, value in feed.items()}
                expected, *following = RefinerGraph(module)(**tensors, **state)
            found, *others = session.run(REFINER_OUTPUTS, feed | other)
            state, other = dict(zip(state, following, strict=True)), dict(zip(other, others, strict=True))
            worst = max(worst, float(np.abs(found - expected.numpy()).max()))
    return worst


def parity(module: nn.Module, session: "onnxruntime.InferenceSession", crops: np.ndarray, start_points_crop: np.ndarray | None) -> float:
    """Largest absolute difference between the network's points and the session's, in crop pixels.

    crops: (B, size, size, 3) uint8; start_points_crop: (B, L, 2) for a tracker, None for a detector. All at once and one by one, since a
    graph can be right for one batch size only. The frame before is that of the next crop, for appearance memory.
    """
    feed = {"crop": np.stack([reduce_image(crop, module.stride) for crop in crops])}
    images = to_float(torch.from_numpy(feed["crop"]))
    with torch.inference_mode():
        if start_points_crop is None:
            expected = module(images)[0].numpy()
        else:
            feed["start_points_crop"] = np.asarray(start_points_crop, np.float32)
            starts = torch.from_numpy(feed["start_points_crop"])
            expected = module(images, starts, images.roll(1, 0), starts.roll(1, 0)).numpy()
            if module.appearance_memory:
                feed |= {"crop_before": np.roll(feed["crop"], 1, 0), "points_before_crop": np.roll(feed["start_points_crop"], 1, 0)}
    together = session.run(["points_crop"], feed)[0]
    alone = [session.run(["points_crop"], {key: value[i : i + 1] for key, value in feed.items()})[0] for i in range(len(crops))]
    return float(max(np.abs(together - expected).max(), np.abs(np.concatenate(alone) - expected).max()))
