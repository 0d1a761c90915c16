"""Several processes that train one model together, and the device that each of them uses.

Every process holds the model and makes its share of every batch; `batch_size` is that of all of them together. Means are taken over the
whole batch, gradients are summed, the first process alone validates, renders and writes, and what it finds is sent to the others. So the
number of processes changes nothing but the order of floating-point sums, and the time.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from strrn.data.ranks import num_ranks, rank
from strrn.methods.losses import masked_mean

Value = TypeVar("Value")
Batch = dict[str, Tensor]


def is_launched() -> bool:
    """Was this process started by torchrun, or by something that sets the same environment?"""
    return {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= os.environ.keys()


def is_first() -> bool:
    return rank() == 0


def device() -> torch.device:
    """The GPU of this process, where there is one, else the CPU. An empty CUDA_VISIBLE_DEVICES hides all GPUs."""
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if torch.cuda.is_available() else torch.device("cpu")


@contextmanager
def process_group() -> Iterator[None]:
    """Join the processes that torchrun started; nothing where it started none.

    Raises ValueError where this host has fewer GPUs than processes.
    """
    if not is_launched():
        yield
        return
    local = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    if torch.cuda.is_available():
        if local > torch.cuda.device_count():
            raise ValueError(
                f"{local} processes and {torch.cuda.device_count()} GPUs on this host: start at most one a GPU "
                "(torchrun --nproc-per-node), or hide the GPUs with CUDA_VISIBLE_DEVICES="
            )
        torch.cuda.set_device(device())
    distributed.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    yield
    distributed.destroy_process_group()  # not after an error: it would wait for the others, and torchrun ends them


def from_first(make: Callable[[], Value]) -> Value:
    """What `make` returns in the first process, in all of them; the others do not call it."""
    if num_ranks() == 1:
        return make()
    content = [make() if is_first() else None]
    distributed.broadcast_object_list(content, src=0)
    return content[0]


def wait_for_all() -> None:
    """Return when every process is here."""
    if num_ranks() > 1:
        sum_over_ranks(torch.zeros(1))


def sum_over_ranks(values: Tensor) -> Tensor:
    """The sum of all processes' tensors of one shape; without a gradient."""
    if num_ranks() == 1:
        return values
    total = values.detach().clone()
    distributed.all_reduce(total)
    return total


def batch_mean(values: Tensor, valid: Tensor) -> Tensor:
    """`masked_mean` over the whole batch, of which this process has a part: a scalar whose mean over the processes is that mean.

    A mean over a process's own part would give its entries more weight the fewer of them are valid.
    """
    if num_ranks() == 1:
        return masked_mean(values, valid)
    weights = valid.to(values.dtype)
    return (values * weights).sum() / sum_over_ranks(weights.sum()).clamp(min=1.0) * num_ranks()


class _Step(nn.Module):
    """A step function as a module, since DistributedDataParallel sees to the gradients of what a module's forward computes."""

    def __init__(self, model: nn.Module, step: Callable[[nn.Module, Batch], Batch]) -> None:
        super().__init__()
        self.model, self.step = model, step

    def forward(self, batch: Batch) -> Batch:
        return self.step(self.model, batch)


def shared_step(model: nn.Module, step: Callable[[nn.Module, Batch], Batch]) -> Callable[[Batch], Batch]:
    """`step` of this model, whose gradients become the mean over the processes; these start from the first one's weights."""
    if num_ranks() == 1:
        return lambda batch: step(model, batch)
    shared = DistributedDataParallel(_Step(model, step))
    shared.broadcast_buffers = False  # they are equal; as an argument torch 2.13 warns of it, and older ones know no other
    return shared


class BatchNorm(nn.BatchNorm2d):
    """Batch norm over the whole batch, of which this process has a part. Unlike torch's SyncBatchNorm it works on the CPU as well."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        wide = x.float()
        count = sum_over_ranks(wide.new_tensor(x.numel() / x.shape[1]))
        mean = _Sum.apply(wide.sum((0, 2, 3))) / count
        centred = wide - mean[:, None, None]
        variance = _Sum.apply(centred.square().sum((0, 2, 3))) / count
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)


class _Sum(torch.autograd.Function):
    """Sum over the processes; every one's loss depends on every one's summand, so the gradient is summed as well."""

    @staticmethod
    def forward(ctx: object, values: Tensor) -> Tensor:
        return sum_over_ranks(values)

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return sum_over_ranks(gradient)


def share_batch_norm(module: nn.Module) -> None:
    """Let every batch norm of a module see the whole batch, where several processes train it."""
    if num_ranks() == 1:
        return
    for child in module.modules():
        if type(child) is nn.BatchNorm2d:
            child.__class__ = BatchNorm


def to_device(batch: Batch) -> Batch:
    """The batch on this process's device; on the way to a GPU while that still computes."""
    target = device()
    if target.type == "cpu":
        return batch
    return {name: values.pin_memory().to(target, non_blocking=True) for name, values in batch.items()}
