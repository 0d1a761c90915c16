"""BRF's head over a frozen backbone, as the tracking loop takes it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from strrn.core.heatmaps import patches_around
from strrn.evaluation.predict import torch_models
from strrn.models import checkpoint
from strrn.models.brf import Refiner, build_refiner
from strrn.models.export import REFINER_OUTPUTS, RefinerGraph
from strrn.models.patches import Confidence
from strrn.models.pixels import network_input
from strrn.runtime.backbone import OnnxBackbone, read_contract
from strrn.runtime.loop import Models
from strrn.runtime.models import open_session, without_patches
from strrn.runtime.refine import STATE, Look, Refinement

DETECTOR = "detector"


def open_backbone(
    backbone: str, detector_file: Path, reference_shape: np.ndarray, size: int, unit: float, side: int
) -> tuple[Look, int, bool]:
    """(look, stride of the crops that it reads, does it bring heatmaps).

    backbone: `detector`, the checkpoint detector_file, or the path of an ONNX file with its contract beside it. unit, side: of its patches,
    see OnnxBackbone. Raises FileNotFoundError or ValueError for an ONNX file that cannot be used.
    """
    if backbone != DETECTOR:
        contract = read_contract(backbone)
        look = OnnxBackbone(open_session(backbone), contract, reference_shape, size, unit, side)
        return look, 1, look.has_patches
    detector, _ = checkpoint.load(detector_file)
    has_patches = hasattr(detector, "codec")

    def look(crops: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        images = network_input(crops, detector.stride // round(size / len(crops[0])))
        with torch.inference_mode():
            if not has_patches:
                points, confidence = detector(images)
                return points.numpy(), confidence.numpy(), None
            found = detector.detect(images)
            points, confidence = found.points, Confidence.probability(found.log_scale)
        heatmaps, stride = found.heatmaps[-1].numpy(), detector.codec.stride
        around = patches_around(heatmaps, detector.codec.to_heatmap(points).numpy(), unit / stride, side)
        return points.numpy(), confidence.numpy(), around

    return look, detector.stride, has_patches


def torch_refinement(refiner: Refiner, look: Look) -> Refinement:
    """The head as the tracking loop takes it."""
    graph = RefinerGraph(refiner)

    def step(feed: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        with torch.inference_mode():
            answer = graph(**{name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in feed.items()})
        return {name: value.numpy() for name, value in zip(REFINER_OUTPUTS, answer, strict=True)}

    first = refiner.first_state(1)
    return Refinement(look, step, {name: getattr(first, name).numpy() for name in STATE})


def refined_models(backbone: str, detector_file: Path, tracker_file: Path, refiner_file: Path) -> Models:
    """What the tracking loop is built from, with the head; the tracker is there as the judge of cycles. Called in every worker process."""
    models = torch_models(detector_file, tracker_file)
    refiner, _ = checkpoint.load(refiner_file, build_refiner)
    look, stride, _ = open_backbone(backbone, detector_file, models.reference_shape, models.size, refiner.unit, refiner.patch_size)
    own = {} if backbone == DETECTOR else {"stride": stride, "track": _of_whole_crops(models)}
    return replace(models, detect=lambda crops: without_patches(look, crops), refinement=torch_refinement(refiner, look), **own)


def _of_whole_crops(models: Models) -> object:
    """`models.track` for crops that were not reduced."""
    from strrn.core.images import reduce_image

    def track(crops: Sequence[np.ndarray], starts: np.ndarray, crops_before: Sequence[np.ndarray], before: np.ndarray) -> np.ndarray:
        reduced, reduced_before = ([reduce_image(crop, models.stride) for crop in some] for some in (crops, crops_before))
        return models.track(reduced, starts, reduced_before, before)

    return track
