"""Training of the STRRN tracker: on labelled crops with synthetic motion, and on pairs of unlabelled frames by cycle consistency."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from strrn.data.datasets import to_float
from strrn.methods.losses import cycle_errors, masked_mean, point_errors
from strrn.training.detector import Normaliser


def labelled_loss(model: nn.Module, batch: dict[str, Tensor], reference_distance: float) -> Tensor:
    """Mean distance / d after every pass of a step from a synthetic start, and of a second step from where the first ended, moved again.

    Paper: one step. Here: two, because in a video the start is the tracker's own last answer, not the truth.
    """
    target, valid = batch["points"], batch["valid"]
    distance = torch.full((len(target),), reference_distance)
    reduced = model.reduce(to_float(batch["images"]))
    first = model.passes(reduced, batch["start"])
    motion = torch.where(torch.isnan(target), torch.zeros_like(target), batch["again"] - target)
    second = model.passes(reduced, first[-1].detach() + motion)
    ends = first + second
    return sum(masked_mean(point_errors(points, target, distance), valid) for points in ends) / len(ends)


def to_other_crop(points: Tensor, matrix: Tensor) -> Tensor:
    """points (B, L, 2) through the matrices (B, 2, 3)."""
    return points @ matrix[:, :, :2].transpose(1, 2) + matrix[:, None, :, 2]


def cycle_losses(model: nn.Module, batch: dict[str, Tensor], reference_distance: float, through_forward: bool) -> tuple[Tensor, Tensor]:
    """(L_tck, L_det) of eq. 6 on a batch of pairs (see PairDataset): how far the backward steps end from p_det^{t-1}.

    L_tck goes forward from p_det^{t-1} and back; L_det goes back from p_det^t.
    through_forward: does L_tck's gradient pass through the forward step? Paper: yes, by its formula. Here: no by default, because the
        forward step then learns to stay where it is, which closes every cycle (on our clips the lag grew from round to round).
    """
    before = batch["before"]
    distance = torch.full((len(before),), reference_distance)
    reduced_before, reduced = model.reduce(to_float(batch["images_before"])), model.reduce(to_float(batch["images"]))
    forward = model.step(reduced, batch["before_here"])
    if not through_forward:
        forward = forward.detach()
    returned = model.step(reduced_before, to_other_crop(forward, batch["matrix"]))
    back = model.step(reduced_before, to_other_crop(batch["after"], batch["matrix"]))
    everything = torch.ones(before.shape[:2], dtype=torch.bool)
    l_tck = masked_mean(cycle_errors(returned, before, distance), everything)
    l_det = masked_mean(cycle_errors(back, before, distance), everything)
    return l_tck, l_det


def supervised_step(reference_distance: float) -> Callable[[nn.Module, dict[str, Tensor]], dict[str, Tensor]]:
    def step(model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"points": labelled_loss(model, batch, reference_distance)}

    return step


def ensemble_step(
    reference_distance: float, lambda_det: float, unlabelled_weight: float, through_forward: bool
) -> Callable[[nn.Module, dict[str, Tensor]], dict[str, Tensor]]:
    """Supervised loss on labelled and pseudo-labelled crops plus `unlabelled_weight` times eq. 6, L_tck + lambda L_det, on pairs.

    Keys of the pairs' tensors start with `pair_`.
    """

    def step(model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        terms = {"points": labelled_loss(model, batch, reference_distance)}
        pairs = {name.removeprefix("pair_"): value for name, value in batch.items() if name.startswith("pair_")}
        if pairs and unlabelled_weight > 0:
            l_tck, l_det = cycle_losses(model, pairs, reference_distance, through_forward)
            terms["l_tck"] = unlabelled_weight * l_tck
            terms["l_det"] = unlabelled_weight * lambda_det * l_det
        return terms

    return step


def tracker_error(loader: Iterable[dict[str, Tensor]], normalise: Normaliser) -> Callable[[nn.Module], float]:
    """Validation error: mean distance / d after one step from fixed synthetic starts."""
    cached = list(loader)

    def error(model: nn.Module) -> float:
        total = count = 0.0
        for batch in cached:
            points = model(to_float(batch["images"]), batch["start"])
            errors = point_errors(points, batch["points"], normalise(batch["points"]))
            total += float((errors * batch["valid"]).sum())
            count += float(batch["valid"].sum())
        return total / max(count, 1.0)

    return error
