"""The one training loop. A method is a step function that returns its loss terms by name; the loop sums, logs and stops."""

import csv
import io
import logging
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from strrn.core.files import write_text
from strrn.data.ranks import num_ranks, rank
from strrn.training.distributed import device, from_first, share_batch_norm, shared_step, sum_over_ranks, to_device
from strrn.training.resume import Snapshot, random_state, set_random_state

log = logging.getLogger(__name__)


class Schedule(Enum):
    """plateau: the learning rate is divided by `drop` when the validation error has not fallen by a share `tolerance` for `patience` epochs;
    after `num_drops` such drops training ends, or at `max_epochs`. cosine: it falls towards zero over `max_epochs`, all of which are run."""

    plateau = "plateau"
    cosine = "cosine"


@dataclass(frozen=True)
class LoopParameters:
    """batch_size; num_batches: of an epoch (0: every sample once); learning_rate of Adam at its highest; schedule: see Schedule. The weights
    of the best epoch are kept. average: decay per step of the exponential average of the weights that is validated and kept (0: off).
    workers: threads that make samples; threads: of torch."""

    batch_size: int
    num_batches: int
    learning_rate: float
    schedule: Schedule
    weight_decay: float
    max_epochs: int
    patience: int
    tolerance: float
    drop: float
    num_drops: int
    average: float
    workers: int
    threads: int

    def __post_init__(self) -> None:
        for name in ("batch_size", "max_epochs", "patience", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, found {getattr(self, name)}")
        if self.learning_rate <= 0 or self.drop <= 1:
            raise ValueError(f"learning_rate must be positive and drop above 1, found {self.learning_rate} and {self.drop}")
        for name in ("num_drops", "num_batches", "workers", "weight_decay"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, found {getattr(self, name)}")
        if not 0 <= self.average < 1 or not 0 <= self.tolerance < 1:
            raise ValueError(f"average and tolerance lie in [0, 1), found {self.average} and {self.tolerance}")


@dataclass
class History:
    """What a run logged: rows (epoch, name, value)."""

    rows: list[tuple[int, str, float]]

    def write(self, path: Path) -> None:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["epoch", "name", "value"])
        writer.writerows((epoch, name, f"{value:.6g}") for epoch, name, value in self.rows)
        write_text(path, text.getvalue())


@dataclass
class Stand:
    """Where a training stands: the next epoch, what was logged, the best validation error and its weights, epochs without progress, drops of
    the learning rate, and whether these were the last."""

    epoch: int = 0
    rows: list[tuple[int, str, float]] = field(default_factory=list)
    best: float = math.inf
    best_weights: dict[str, Tensor] | None = None
    waited: int = 0
    drops: int = 0
    ended: bool = False


def train(
    model: nn.Module,
    epoch_batches: Callable[[int], Iterable[dict[str, Tensor]]],
    step: Callable[[nn.Module, dict[str, Tensor]], dict[str, Tensor]],
    validate: Callable[[nn.Module], float],
    parameters: LoopParameters,
    what: str,
    snapshot: Snapshot | None = None,
) -> History:
    """Minimise the sum of step's terms until the validation error stops falling.

    `model` ends with the best weights, in eval mode, on the CPU.
    snapshot: keeps where training stands after every epoch; with one of an earlier run it goes on there. Batches must then depend on nothing
    but their epoch, and on torch's random numbers.
    Where there is a GPU, batches are moved there, and `step` runs under bfloat16 autocast; weights, optimiser and `validate` stay float32.
    Several processes (see `strrn.training.distributed`) make one step on their parts of a batch, and come to the same weights and log.
    Raises FloatingPointError where a loss is not finite, with the terms, and ValueError where a batch has no sample for this process.
    """
    place = device()
    model.to(place)
    share_batch_norm(model)
    optimiser = torch.optim.AdamW(model.parameters(), lr=parameters.learning_rate, weight_decay=parameters.weight_decay, fused=True)
    averaged = torch.optim.swa_utils.AveragedModel(
        model,
        multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(parameters.average),
        use_buffers=False,
    )
    shared = shared_step(model, step)
    stand = Stand()
    parts = {"model": model, "optimiser": optimiser, "averaged": averaged}
    if snapshot and (kept := _common(snapshot)):
        for name, part in parts.items():
            part.load_state_dict(kept[name])
        stand = Stand(**kept["stand"])
        set_random_state(kept["random"])
        log.info("%s: goes on after epoch %d of a run that was stopped", what, stand.epoch - 1)
    while stand.epoch < parameters.max_epochs and not stand.ended:
        epoch = stand.epoch
        model.train()
        sums: dict[str, float] = {}
        count = samples = 0
        started = time.monotonic()
        rate = parameters.learning_rate / parameters.drop**stand.drops
        if parameters.schedule is Schedule.cosine:
            rate *= (1 + math.cos(math.pi * epoch / parameters.max_epochs)) / 2
        for group in optimiser.param_groups:
            group["lr"] = rate
        for batch in map(to_device, epoch_batches(epoch)):
            if not batch:
                raise ValueError(f"{what}: a batch has no sample for process {rank()} of {num_ranks()}: raise batch_size, or start fewer")
            with torch.autocast(place.type, torch.bfloat16, enabled=place.type == "cuda"):
                terms = shared(batch)
            loss = sum(terms.values())
            values = dict(zip(terms, _means(terms), strict=True))
            if not math.isfinite(sum(values.values())):
                raise FloatingPointError(f"{what}: loss is not finite in epoch {epoch}, step {count}: {values}. Lower the learning_rate")
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            if parameters.average:
                averaged.update_parameters(model)
            for name, value in values.items():
                sums[name] = sums.get(name, 0.0) + value
            count += 1
            samples += len(next(iter(batch.values())))
        if parameters.average:
            _copy_buffers(model, averaged.module)
        candidate = averaged.module if parameters.average else model
        candidate.eval()
        with torch.no_grad():
            error = float(from_first(partial(validate, candidate)))
        speed = samples * num_ranks() / (time.monotonic() - started)
        stand.rows += [(epoch, name, value / count) for name, value in sums.items()]
        stand.rows += [(epoch, "validation_error", error), (epoch, "learning_rate", rate)]
        terms_text = ", ".join(f"{name} {value / count:.4f}" for name, value in sums.items())
        log.info("%s: epoch %d, validation error %.4f, %s (%.0f samples/s)", what, epoch, error, terms_text, speed)
        stand.waited = 0 if error < stand.best * (1 - parameters.tolerance) else stand.waited + 1
        if error < stand.best:
            stand.best, stand.best_weights = error, {name: tensor.clone() for name, tensor in candidate.state_dict().items()}
        if parameters.schedule is Schedule.plateau and stand.waited >= parameters.patience:
            stand.ended = stand.drops == parameters.num_drops
            stand.drops, stand.waited = stand.drops + 1, 0
        stand.epoch += 1
        if snapshot:
            states = {name: part.state_dict() for name, part in parts.items()}
            snapshot.write({**states, "stand": vars(stand), "random": random_state()})
    if stand.best_weights is None:
        raise FloatingPointError(f"{what}: the validation error was never finite")
    model.load_state_dict(stand.best_weights)
    model.cpu().eval()
    log.info("%s: best validation error %.4f after %d epochs", what, stand.best, stand.epoch)
    return History(stand.rows)


def _common(snapshot: Snapshot) -> dict | None:
    """What the snapshot holds, if that of every process is of the same epoch."""
    kept = snapshot.read()
    epoch = float(kept["stand"]["epoch"]) if kept else 0.0
    total, squares = sum_over_ranks(torch.tensor([epoch, epoch * epoch])).tolist()
    return kept if total * total == squares * num_ranks() else None


def _means(terms: dict[str, Tensor]) -> list[float]:
    """The terms of the whole batch. All are read at once: a GPU is waited for once a step."""
    return (sum_over_ranks(torch.stack([value.detach() for value in terms.values()]).double()) / num_ranks()).tolist()


def _copy_buffers(source: nn.Module, target: nn.Module) -> None:
    """The running statistics of batch norm follow the model; only weights are averaged."""
    for buffer, copy in zip(source.buffers(), target.buffers(), strict=True):
        copy.copy_(buffer)
