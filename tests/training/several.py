"""Trains small networks of every kind in one process, or in as many as torchrun starts: `torchrun -m tests.training.several FOLDER [FAULT]`.

FOLDER holds what `prepare` writes, and gets the models. FAULT: what goes wrong in the last process.
"""

import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import torch

from strrn.data.ranks import num_ranks, rank
from strrn.models import checkpoint
from strrn.stages import parallel
from strrn.training.distil import DistilParameters, TrackerData, distil
from strrn.training.distributed import is_first, process_group, share_batch_norm
from strrn.training.loop import LoopParameters
from strrn.training.mining import mine
from strrn.training.pretrain import pretrain
from strrn.training.sbr import SBRParameters, train_sbr
from strrn.training.self_training import SelfTrainingParameters
from strrn.training.stream import CropStream, StreamParameters
from strrn.training.tsal import Arm, Source, TSALParameters, train_tsal
from tests.models.small import PATCHES, build, header, reference_shape
from tests.training.material import SCHEME, draw, loop, setting, track, write_stills
from tests.training.test_training import EVERYTHING, TRAJECTORY, Constant, Fixed, runner


class OfOneProcess(CropStream):
    """Crops that only the first process makes."""

    def _stream(self) -> Iterator[tuple[bytes, np.ndarray]]:
        if not is_first():
            raise RuntimeError("a process that is not the first one renders")
        for number in count():
            points = reference_shape() + np.float32(number % 7 - 3)
            yield draw(points), points


def prepare(folder: Path) -> None:
    write_stills(folder, count=12, hidden=2)
    for name in ("mdm", "strrn"):
        # Pixels as they are: a normalised patch makes gradients that are nearly 0, whose sign the order of a sum decides.
        patches = {**PATCHES, "contrast_floor": 0.0}
        checkpoint.save(folder / f"start_{name}.safetensors", build(name, patches=patches), header(name, patches=patches))
    mine([track(6)], runner(Fixed(), Constant(0.5)), SCHEME, EVERYTHING, TRAJECTORY, round_name="r1", hashes=("", ""), out=folder / "pseudo")


def parameters(batch_size: int, **changes: object) -> LoopParameters:
    return loop(batch_size=batch_size, num_batches=4, max_epochs=3, workers=1, **changes)


def train_all(folder: Path) -> None:
    # 5 samples, 3 pairs: the processes' shares differ.
    for name in ("mdm", "hgn", "strrn"):
        stream = OfOneProcess(None, StreamParameters(fresh=3, workers=1))
        pretrain(
            setting(),
            header(name),
            folder,
            parameters(5),
            folder / f"{name}.safetensors",
            refresh=lambda crops, epoch, stream=stream: stream.refresh(crops, epoch, len(crops)),
        )
    labels = DistilParameters(0.5, TrackerData.d_tck_and_s, 1.0, 0.4, 0.5, False, 3, 1, 1)
    start = folder / "start_strrn.safetensors"
    distil(setting(), start, folder, [track(6)], folder / "pseudo", labels, parameters(5), "r1", folder / "distil.safetensors")
    registration = SBRParameters(weight=0.3, stride=1, radius=3, iterations=5, max_return=0.2, pair_batch_size=3)
    arms = {"asynchronous": Arm(3, 0.5, True, list(Source)), "mean_teacher": Arm(1, 0.1, False, [Source.detection])}
    taught = TSALParameters(weight=1.0, ramp=4, tau=0.03, batch_size=3, radius=3, iterations=5, max_return=0.2)
    train_tsal(
        setting(), header("mdm"), folder, [track(6)], 0.5, taught, setting().augmentation, SelfTrainingParameters(2, 0.8), arms,
        parameters(5), parameters(5), folder / "tsal",
    )  # fmt: skip
    train_sbr(setting(), folder / "start_mdm.safetensors", folder, [track(6)], registration, parameters(5), folder / "sbr.safetensors")


def normed(norm: torch.nn.Module, rows: slice) -> dict[str, np.ndarray]:
    """What a batch norm makes of some rows of a batch of 5, and its gradients."""
    random = torch.Generator().manual_seed(0)
    whole, weights = (torch.randn((5, 3, 4, 4), generator=random) * 2 + 1 for _ in range(2))
    images = whole[rows].requires_grad_()
    answer = norm(images)
    (answer * weights[rows]).sum().backward()
    found = {"answer": answer, "gradient": images.grad, "weight": norm.weight.grad, "bias": norm.bias.grad}
    return {name: values.detach().numpy() for name, values in {**found, **dict(norm.named_buffers())}.items()}


def main() -> None:
    folder, *fault = sys.argv[1:]
    with process_group():
        last = rank() == num_ranks() - 1
        match fault:
            case []:
                norm = torch.nn.Sequential(torch.nn.BatchNorm2d(3))
                share_batch_norm(norm)
                np.savez(Path(folder) / f"norm_{rank()}.npz", **normed(norm[0], slice(rank(), None, num_ranks())))
                train_all(Path(folder))
            case ["no file"]:
                path = Path(folder) / "nowhere" if last else Path(folder)
                pretrain(setting(), header("mdm"), path, parameters(5), Path(folder) / "fault.safetensors")
            case ["small batch"]:
                pretrain(setting(), header("mdm"), Path(folder), parameters(1), Path(folder) / "fault.safetensors")
            case ["not finite"]:
                wild = parameters(5, learning_rate=1e38 if last else 1e-3)
                pretrain(setting(), header("mdm"), Path(folder), wild, Path(folder) / "fault.safetensors")


if __name__ == "__main__":
    parallel.run(main, __spec__.name)
