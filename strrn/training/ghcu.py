"""Training of a GHCU over a frozen heatmap detector, on heatmaps of which landmarks are masked out."""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from strrn.core.images import decode_image
from strrn.data.datasets import Batches, LabelledCrops, StillDataset
from strrn.data.hidden import HiddenDataset
from strrn.methods.losses import point_errors
from strrn.models.ghcu import CorrectedDetector, GHCUParameters, build_corrected, corrected_header
from strrn.models.hourglass import HGN
from strrn.models.pixels import network_input, to_float
from strrn.models.precision import full_precision
from strrn.training.detector import Normaliser
from strrn.training.distributed import batch_mean, from_first, to_device
from strrn.training.loop import History, LoopParameters, train
from strrn.training.pretrain import Setting

BATCH = 32
TRUSTED_WEIGHT = 0.2  # of landmarks that the unit sees, beside those that it has to find: they tell it where a face is


def ghcu_step(reference_distance: float) -> Callable[[nn.Module, dict[str, Tensor]], dict[str, Tensor]]:
    """The step function of a CorrectedDetector on batches of a HiddenDataset: the GHCU's distances to the labels, in units of d.

    It learns the landmarks whose heatmap it is not shown: those masked out, and those whose peak does not reach the threshold.
    """

    def step(model: CorrectedDetector, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        found, trusted = model.look(to_float(batch["images"]))
        trusted = trusted & ~batch["masked"]
        errors = _errors(model.ghcu(found.heatmaps[-1], trusted), batch["points"], reference_distance)
        return {
            "hidden": batch_mean(errors, batch["valid"] & ~trusted),
            "trusted": TRUSTED_WEIGHT * batch_mean(errors, batch["valid"] & trusted),
        }

    return step


@full_precision
def _errors(points: Tensor, target: Tensor, reference_distance: float) -> Tensor:
    return point_errors(points, target, target.new_full((len(target),), reference_distance))


def train_ghcu(
    setting: Setting,
    detector: HGN,
    header: dict,
    labelled: LabelledCrops,
    held_out: LabelledCrops,
    parameters: GHCUParameters,
    loop: LoopParameters,
) -> tuple[CorrectedDetector, dict, History]:
    """(the detector with its GHCU, its header, the log). detector stays as it is; header: its own. labelled: what the unit learns from,
    held_out: what its best epoch is chosen by."""
    header = corrected_header(header, parameters)
    model = build_corrected(header)
    model.detector.load_state_dict(detector.state_dict())
    model.usual_peaks.copy_(torch.from_numpy(from_first(partial(usual_peaks, detector, labelled))))
    dataset = HiddenDataset(StillDataset(labelled, setting.scheme, setting.seed, setting.augmentation, None, model.stride))
    loader = Batches(dataset, loop.batch_size, setting.seed, loop.workers, loop.num_batches or None)

    def epoch_batches(epoch: int) -> Batches:
        loader.epoch = epoch
        return loader

    validate = hidden_error(held_out, setting, model.stride)
    history = train(model, epoch_batches, ghcu_step(setting.reference.distance), validate, loop, "sa ghcu")
    return model, header, history


@torch.no_grad()
def usual_peaks(detector: HGN, crops: LabelledCrops) -> np.ndarray:
    """(L,) float32: median over the crops, as they are, of each heatmap's peak; of the detector as it stands on the CPU."""
    peaks = []
    for begin in range(0, len(crops), BATCH):
        images = [decode_image(image) for image in crops.images[begin : begin + BATCH]]
        peaks.append(detector.eval().detect(network_input(images, detector.stride)).heatmaps[-1].flatten(2).amax(-1))
    return torch.cat(peaks).median(0).values.numpy()


def hidden_error(held_out: LabelledCrops, setting: Setting, stride: int) -> Callable[[nn.Module], float]:
    """Validation error: mean distance / d of landmarks that are hidden in fixed views of held-out crops, by boxes in front or by masks."""
    dataset = HiddenDataset(StillDataset(held_out, setting.scheme, 0, setting.augmentation, None, stride))
    keys = [(0, index) for index in range(len(dataset))]
    cached = list(DataLoader(dataset, batch_sampler=[keys[i : i + BATCH] for i in range(0, len(keys), BATCH)]))
    normalise = Normaliser(setting.scheme)

    def error(model: CorrectedDetector) -> float:
        total = count = 0.0
        for batch in map(to_device, cached):
            found, trusted = model.look(to_float(batch["images"]))
            trusted = trusted & ~batch["masked"]
            errors = point_errors(model.ghcu(found.heatmaps[-1], trusted), batch["points"], normalise(batch["points"]))
            hidden = batch["valid"] & batch["hidden"]
            total += float(errors[hidden].sum())
            count += float(hidden.sum())
        return total / max(count, 1.0)

    return error
