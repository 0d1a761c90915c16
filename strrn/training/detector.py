"""Training of a detector (MDM or HGN) on labelled crops, and validation of one."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from strrn.core.landmarks import LandmarkScheme
from strrn.data.augmentation import AugmentationParameters
from strrn.data.datasets import LabelledCrops, StillDataset
from strrn.data.motion import SyntheticMotion
from strrn.methods.losses import heatmap_errors, point_errors, scale_nll
from strrn.models.pixels import to_float
from strrn.training.distributed import batch_mean, to_device

HEATMAP_WEIGHT = 1.0
CONFIDENCE_WEIGHT = 0.1


class Normaliser(nn.Module):
    """d of target shapes: points (B, L, 2) -> (B,); NaN where a landmark of the normaliser is not labelled."""

    def __init__(self, scheme: LandmarkScheme) -> None:
        super().__init__()
        first, second = scheme.normalisers[scheme.method_normaliser]
        self.first, self.second = list(first), list(second)

    def forward(self, points: Tensor) -> Tensor:
        return torch.linalg.vector_norm(points[:, self.first].mean(1) - points[:, self.second].mean(1), dim=-1)


def detector_step(normalise: Normaliser, reference_distance: float) -> Callable[[nn.Module, dict[str, Tensor]], dict[str, Tensor]]:
    """The step function: every recurrent step (or stack) is supervised, the heatmaps where there are any, and the expected error.

    Errors are divided by the reference shape's d, not by the face's own: crops are canonical, and a profile's short d would weigh more.
    """

    def step(model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        detection = model.detect(to_float(batch["images"]))
        target, valid = batch["points"], batch["valid"]
        distance = target.new_full((len(target),), reference_distance)
        errors = [point_errors(points, target, distance) for points in detection.steps]
        terms = {"points": sum(batch_mean(e, valid) for e in errors) / len(errors)}
        if detection.heatmaps:
            ideal = model.codec.encode(target.nan_to_num(-1e4))
            inside = valid & (ideal.flatten(2).amax(-1) > 0.1)
            terms["heatmaps"] = HEATMAP_WEIGHT * sum(batch_mean(heatmap_errors(h, ideal), inside) for h in detection.heatmaps)
        own = normalise(target)
        known = valid & torch.isfinite(own)[:, None]
        final = errors[-1] * (reference_distance / own.nan_to_num(1.0).clamp(min=1.0))[:, None]
        terms["confidence"] = CONFIDENCE_WEIGHT * batch_mean(scale_nll(final, detection.log_scale), known)
        return terms

    return step


def validation_loader(
    crops: LabelledCrops,
    scheme: LandmarkScheme,
    seed: int,
    augmentation: AugmentationParameters,
    motion: SyntheticMotion | None = None,
    stride: int = 1,
) -> Iterable[dict[str, Tensor]]:
    """Fixed views of the validation crops: the same augmentation draws every time it is read."""
    dataset = StillDataset(crops, scheme, seed, augmentation, motion, stride)
    keys = [(0, index) for index in range(len(dataset))]
    return torch.utils.data.DataLoader(dataset, batch_sampler=[keys[i : i + 32] for i in range(0, len(keys), 32)], num_workers=0)


def detector_error(loader: Iterable, normalise: Normaliser) -> Callable[[nn.Module], float]:
    """Validation error: mean over faces and landmarks of distance / d."""
    cached = list(loader)

    def error(model: nn.Module) -> float:
        total = count = 0.0
        for batch in map(to_device, cached):
            points = model.detect(to_float(batch["images"])).points
            errors = point_errors(points, batch["points"], normalise(batch["points"]))
            total += float((errors * batch["valid"]).sum())
            count += float(batch["valid"].sum())
        return total / max(count, 1.0)

    return error
