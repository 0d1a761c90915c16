"""Supervision by registration (SBR): a detector taught by labelled stills and by Lucas-Kanade between the frames of unlabelled clips."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from strrn.data.datasets import Batches, PairDataset, StillDataset, Track, concatenated, load_still_crops, pairs_of
from strrn.methods.registration import grey, registration_errors, warp
from strrn.models import checkpoint
from strrn.models.patches import reduce
from strrn.models.pixels import to_float
from strrn.models.precision import full_precision
from strrn.training.detector import Normaliser, detector_step
from strrn.training.distil import round_seed
from strrn.training.distributed import batch_mean
from strrn.training.loop import LoopParameters, train
from strrn.training.pretrain import Setting, end_run, start_run, validation


@dataclass(frozen=True)
class SBRParameters:
    """weight: of the registration loss beside the labelled one. stride: crop pixels a pixel in which pictures are registered. radius: of the
    patches, in those; iterations: of Lucas-Kanade. max_return: largest error of the way back, share of d. pair_batch_size: pairs of
    unlabelled frames in a step."""

    weight: float
    stride: int
    radius: int
    iterations: int
    max_return: float
    pair_batch_size: int

    def __post_init__(self) -> None:
        for name in ("stride", "radius", "iterations", "pair_batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, found {getattr(self, name)}")
        if self.weight <= 0 or self.max_return <= 0:
            raise ValueError(f"weight and max_return must be positive, found {self.weight} and {self.max_return}")


def consecutive_pairs(tracks: Sequence[Track]) -> np.ndarray:
    """(P, 2) of (track number, row of frame t) for all neighbouring frames that differ."""
    pairs = [
        (number, row)
        for number, track in enumerate(tracks)
        for row in range(1, len(track))
        if track.frames[row] - track.frames[row - 1] == 1 and not track.repeats[row]
    ]
    return np.array(pairs, int).reshape(-1, 2)


def sbr_step(
    labelled: Callable[[nn.Module, dict[str, Tensor]], dict[str, Tensor]], parameters: SBRParameters, reference_distance: float
) -> Callable[[nn.Module, dict[str, Tensor]], dict[str, Tensor]]:
    """`labelled` plus the registration loss of the pairs (see `pairs_of`)."""

    def step(model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        pairs = pairs_of(batch)
        before, after = map(to_float, pairs["images"].unbind(1))
        detected = model.detect(reduce(torch.cat([before, after]), model.stride)).points
        errors, passed = _registered(before, after, *detected.chunk(2), pairs["back"][:, 0], parameters, reference_distance)
        return {**labelled(model, batch), "registration": parameters.weight * batch_mean(errors, passed)}

    return step


@full_precision
def _registered(
    before: Tensor,
    after: Tensor,
    detected_before: Tensor,
    detected: Tensor,
    matrix: Tensor,
    parameters: SBRParameters,
    reference_distance: float,
) -> tuple[Tensor, Tensor]:
    """`registration_errors` of crops (B, 3, S, S) and points in them, each in its own frame's; matrix: from the crop of t to that of t-1."""
    linear, shift = matrix[:, :, :2], matrix[:, None, :, 2]
    detected_before = (detected_before - shift) @ torch.linalg.inv(linear).transpose(1, 2)  # to the crop of frame t
    scale = 1 / parameters.stride
    half = (scale - 1) / 2  # block means: crop pixel (x) lies at x * scale + half of them
    return registration_errors(
        reduce(grey(warp(before, matrix)), parameters.stride),
        reduce(grey(after), parameters.stride),
        detected_before * scale + half,
        detected * scale + half,
        detected.new_full((len(after),), reference_distance * scale),
        parameters.radius,
        parameters.iterations,
        parameters.max_return,
    )


def train_sbr(
    setting: Setting, start: Path, crops: Path, tracks: Sequence[Track], parameters: SBRParameters, loop: LoopParameters, out: Path
) -> None:
    """Train the detector at `start` further, on S and on the pairs of neighbouring frames of `tracks`, and write it to `out`.

    Raises ValueError where there is no pair.
    """
    pairs = consecutive_pairs(tracks)
    if len(pairs) == 0:
        raise ValueError("no two neighbouring frames in the unlabelled tracks; see data/crops/rejected.jsonl")
    seed = round_seed(setting.seed, "sbr")
    start_run(seed, loop.threads)
    model, header = checkpoint.load(start)
    stills = load_still_crops(crops / "stills_train.parquet", setting.scheme.num_landmarks)
    unread = [np.zeros((len(track), setting.scheme.num_landmarks, 2), np.float32) for track in tracks]
    loaders = {
        "stills": Batches(
            StillDataset(stills, setting.scheme, seed, setting.augmentation, None, model.stride),
            loop.batch_size, seed, loop.workers, loop.num_batches,
        ),
        "pair": Batches(PairDataset(tracks, unread, pairs), parameters.pair_batch_size, seed + 1, loop.workers, loop.num_batches),
    }  # fmt: skip
    step = sbr_step(detector_step(Normaliser(setting.scheme), setting.reference.distance), parameters, setting.reference.distance)
    history = train(model, lambda epoch: concatenated(loaders, epoch), step, validation(setting, crops, False, model.stride), loop, "sbr")
    end_run(out, model, {**header, "round": "sbr", "data_hashes": {"start": checkpoint.file_hash(start)}}, history)
