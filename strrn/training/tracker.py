"""Training of the STRRN tracker: on labelled crops with synthetic motion, and on pairs of unlabelled frames by cycle consistency."""

from collections import deque
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from strrn.data.datasets import pairs_of
from strrn.data.motion import MotionParameters
from strrn.methods.losses import cycle_errors, point_errors
from strrn.models.pixels import to_float
from strrn.models.precision import full_precision
from strrn.training.detector import Normaliser
from strrn.training.distributed import batch_mean, sum_over_ranks, to_device
from strrn.training.flicker import FlickerParameters, Part, flicker


class SyntheticVideos:
    """Supervised training as in a video: the tracker starts each frame from its own answer to the frame before, moved.

    Every call takes a batch of fresh views (see StillDataset with `motion`), joins them with the views that an earlier call left, makes
    one step on all of them and keeps those that have not been shown for `length` frames. So a training batch holds every age of a video,
    and the errors that the tracker starts from are those it really makes.
    Paper: one step from a labelled shape. With one step, or two, the tracker is accurate on the first frames of a video and worse on all
    that follow.
    """

    def __init__(self, motion: MotionParameters, changes: FlickerParameters, reference_distance: float) -> None:
        self.motion, self.changes, self.reference_distance = motion, changes, reference_distance
        self.groups: deque[dict[str, Tensor]] = deque()

    def loss(self, model: nn.Module, fresh: dict[str, Tensor]) -> Tensor:
        """Mean distance / d after every pass of a step."""
        batch = {name: fresh[name] for name in ("images", "points", "valid", "start", "moves", "row") if name in fresh}
        batch["frame"] = torch.zeros(len(batch["start"]), dtype=torch.long, device=batch["start"].device)
        if model.appearance_memory:
            batch["memory"] = model.remember(to_float(batch["images"]), batch["start"])
        if len(self.groups) == self.motion.interleaved:
            left = self.groups.popleft()
            batch = {name: torch.cat([batch[name], left[name]]) for name in batch}
        target = batch["points"]
        images = flicker(to_float(batch["images"]), self.changes, part=_part(batch))
        ends = model.passes(images, batch["start"], batch.get("memory"))
        if model.appearance_memory:
            batch["memory"] = model.remember(images, ends[-1])
        self._keep(batch, ends[-1].detach())
        distance = target.new_full((len(target),), self.reference_distance)
        return sum(batch_mean(point_errors(points, target, distance), batch["valid"]) for points in ends) / len(ends)

    def _keep(self, batch: dict[str, Tensor], answer: Tensor) -> None:
        rows = torch.nonzero(batch["frame"] < self.motion.length - 1).flatten()
        left = {name: values[rows] for name, values in batch.items()}
        left["start"] = answer[rows] + left["moves"][torch.arange(len(rows), device=rows.device), left["frame"]]
        left["frame"] += 1
        self.groups.append(left)


def _part(batch: dict[str, Tensor]) -> Part | None:
    """Which part of the whole batch this is, where several processes have one: the fresh views of all of them come first, then those that
    show their second frame, and so on."""
    if "row" not in batch:
        return None
    fresh = int(sum_over_ranks((batch["frame"] == 0).sum().cpu()))
    return Part((batch["frame"] * fresh + batch["row"]).tolist(), fresh * (1 + int(batch["frame"].max())))


@full_precision
def to_other_crop(points: Tensor, matrix: Tensor) -> Tensor:
    """points (B, L, 2) through the matrices (B, 2, 3)."""
    return points @ matrix[:, :, :2].transpose(1, 2) + matrix[:, None, :, 2]


def cycle_losses(model: nn.Module, batch: dict[str, Tensor], reference_distance: float, through_forward: bool) -> tuple[Tensor, Tensor]:
    """(L_tck, L_det) of eq. 6 on a batch of pairs (see PairDataset): how far the backward steps end from the first frame's detection.

    L_tck goes forward from there, frame by frame, and back; L_det goes back from the last frame's detection.
    through_forward: does L_tck's gradient pass through the forward steps? Paper: yes, by its formula. Here: no by default, because the
        forward step then learns to stay where it is, which closes every cycle (on our clips the lag grew from round to round).
    """
    before = batch["before"]
    distance = before.new_full((len(before),), reference_distance)
    frames, back = [to_float(images) for images in batch["images"].unbind(1)], batch["back"].unbind(1)

    def returned(points: Tensor, through: bool) -> Tensor:
        for here, there, matrix in zip(frames[:0:-1], frames[-2::-1], back[::-1], strict=True):
            points = model.step(there, to_other_crop(points, matrix), model.remember(here, points), through)
        return points

    with torch.set_grad_enabled(through_forward):
        forward = model.step(frames[1], batch["before_here"], model.remember(frames[0], before))
        for here, there, matrix in zip(frames[1:-1], frames[2:], batch["onward"].unbind(1), strict=True):
            forward = model.step(there, to_other_crop(forward, matrix), model.remember(here, forward))
    everything = torch.ones(before.shape[:2], dtype=torch.bool, device=before.device)
    l_tck = batch_mean(cycle_errors(returned(forward, through_forward), before, distance), everything)
    l_det = batch_mean(cycle_errors(returned(batch["after"], False), before, distance), everything)
    return l_tck, l_det


def supervised_step(videos: SyntheticVideos) -> Callable[[nn.Module, dict[str, Tensor]], dict[str, Tensor]]:
    def step(model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"points": videos.loss(model, batch)}

    return step


def ensemble_step(
    videos: SyntheticVideos, lambda_tck: float, lambda_det: float, unlabelled_weight: float, through_forward: bool
) -> Callable[[nn.Module, dict[str, Tensor]], dict[str, Tensor]]:
    """Supervised loss on labelled and pseudo-labelled crops plus `unlabelled_weight` times eq. 6, lambda_tck L_tck + lambda_det L_det, on
    pairs (see `pairs_of`)."""

    def step(model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        terms = {"points": videos.loss(model, batch)}
        pairs = pairs_of(batch)
        if pairs and unlabelled_weight > 0:
            l_tck, l_det = cycle_losses(model, pairs, videos.reference_distance, through_forward)
            terms["l_tck"] = unlabelled_weight * lambda_tck * l_tck
            terms["l_det"] = unlabelled_weight * lambda_det * l_det
        return terms

    return step


def tracker_error(loader: Iterable[dict[str, Tensor]], normalise: Normaliser, changes: FlickerParameters) -> Callable[[nn.Module], float]:
    """Validation error: mean distance / d in the last frame of fixed synthetic videos."""
    cached = list(loader)

    def error(model: nn.Module) -> float:
        total = count = 0.0
        generator = torch.Generator().manual_seed(0)
        for batch in map(to_device, cached):
            points = batch["start"]
            memory = model.remember(to_float(batch["images"]), points)
            for move in [0, *batch["moves"].unbind(1)]:
                images = flicker(to_float(batch["images"]), changes, generator)
                points = model.step(images, points + move, memory)
                memory = model.remember(images, points)
            errors = point_errors(points, batch["points"], normalise(batch["points"]))
            total += float((errors * batch["valid"]).sum())
            count += float(batch["valid"].sum())
        return total / max(count, 1.0)

    return error
