"""How fast the networks of params.yaml learn, and how fast they mine.

    python -m benchmarks.learning                           # after `dvc repro crop`; a few minutes
    python -m benchmarks.learning mdm strrn --batches 100   # some networks

Training: samples/s of the training loop itself on the crops of data/crops, with the batch size and the threads of `pretrain`, and where a
step's time goes: waiting for the next batch, forward and backward, optimiser (with the average of the weights). `new` are the views that
the loader makes; the tracker learns from each in every frame of its synthetic video, and `samples` counts them all. `loader alone`: what
the loader makes when nobody computes beside it; well above `new`, it is not the bottleneck.
Mining: frames/s of Algorithm 1 on tracks of data/crops with each detector, the shortest tracks first, with a process a core; the
difference of a long and a short run, without the start of the processes. Weights do not change the speed: networks are untrained.
"""

import argparse
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.parquet as pq
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_pre_hook

from strrn.core.cluster import map_clips
from strrn.core.processes import num_workers
from strrn.data.datasets import LabelledCrops, load_still_crops
from strrn.models import checkpoint
from strrn.models.checkpoint import file_hash
from strrn.models.parameters import as_dict
from strrn.stages import logs
from strrn.stages.parameters import load_section
from strrn.stages.paths import CROPS
from strrn.stages.pretrain import NETWORKS
from strrn.stages.setting import load_setting, unlabelled_rows
from strrn.training.distributed import device
from strrn.training.loop import LoopParameters, train
from strrn.training.mining import run_row
from strrn.training.pretrain import Setting, start_run, supervised

WARM = 16  # batches before the clock: the tracker's videos have all ages then
WAITING, COMPUTING, UPDATING = "waiting", "forward and backward", "optimiser"


@dataclass
class Watch:
    """Where the time of a training loop goes, after its first `warm` batches."""

    warm: int
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys((WAITING, COMPUTING, UPDATING), 0.0))
    batches: int = 0
    last: float = 0.0

    def read(self, part: str) -> None:
        """What passed since the last reading was spent on `part`."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.perf_counter()
        if self.batches > self.warm:
            self.seconds[part] += now - self.last
        self.last = now

    def over(self, batches: Iterable[dict[str, Tensor]]) -> Iterator[dict[str, Tensor]]:
        """The batches as the loop asks for them. A batch counts from the request for it until the request for the next one."""
        iterator = iter(batches)
        while True:
            self.read(UPDATING)
            self.batches += 1
            try:
                batch = next(iterator)
            except StopIteration:
                return
            self.read(WAITING)
            yield batch


@dataclass(frozen=True)
class Speed:
    """new, alone: views a second, in training and by the loader alone; samples: what is learned from a second; shares: of the time."""

    samples: float
    new: float
    alone: float
    shares: dict[str, float]


def learning(setting: Setting, header: dict, crops: LabelledCrops, loop: LoopParameters, count: int) -> Speed:
    """Train the network of the header for WARM + `count` batches."""
    start_run(setting.seed, loop.threads)
    model = checkpoint.build(header)
    is_tracker = header["architecture"] == "strrn"
    loop = replace(loop, num_batches=WARM + count, max_epochs=1)
    loader, step = supervised(setting, is_tracker, model.stride, crops, loop)
    watch = Watch(WARM)
    hook = register_optimizer_step_pre_hook(lambda *_: watch.read(COMPUTING))
    try:
        train(model, lambda _: watch.over(loader), step, lambda _: 0.0, loop, header["architecture"])
    finally:
        hook.remove()
    total = sum(watch.seconds.values())
    new = count * loop.batch_size / total
    samples = new * setting.motion.length if is_tracker else new
    return Speed(samples, new, loader_alone(loader), {part: seconds / total for part, seconds in watch.seconds.items()})


def loader_alone(loader: Iterable[dict[str, Tensor]]) -> float:
    """Views a second that the loader makes."""
    started = time.perf_counter()
    views = sum(len(batch["images"]) for batch in loader)
    return views / (time.perf_counter() - started)


def chosen(rows: Sequence[dict], frames: int) -> list[tuple[dict, int]]:
    """(row, number of frames) of the shortest tracks of tracks.jsonl, until they have `frames` together."""
    lengths = [(row, pq.read_metadata(CROPS / row["path"]).num_rows) for row in rows]
    found, total = [], 0
    for row, length in sorted(lengths, key=lambda pair: (pair[1], pair[0]["track_id"])):
        if total >= frames:
            break
        found.append((row, length))
        total += length
    return found


def mining(run: Callable[[dict], object], tracks: Sequence[tuple[dict, int]], workers: int) -> float:
    """Frames a second of `run` on rows of tracks.jsonl. Raises ValueError where there are too few tracks to tell."""
    if len(tracks) < 2 * workers:
        raise ValueError(f"{len(tracks)} tracks for {workers} processes: ask for more --frames, or give more video")

    def seconds(part: Sequence[tuple[dict, int]]) -> float:
        started = time.perf_counter()
        list(map_clips(run, [row for row, _ in part], workers))
        return time.perf_counter() - started

    short, long = seconds(tracks[:workers]), seconds(tracks)
    return sum(length for _, length in tracks[workers:]) / (long - short)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", help=f"of {', '.join(NETWORKS)} (default: all)")
    parser.add_argument("--batches", type=int, default=60, help="trained on, of each network (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=600, help="mined with each detector; 0: none (default: %(default)s)")
    options = parser.parse_args(arguments)
    names = options.networks or list(NETWORKS)
    unknown = sorted(set(names) - set(NETWORKS))
    if unknown or options.batches < 1:
        raise ValueError(f"networks are {', '.join(NETWORKS)}, and --batches is at least 1; found {unknown or options.batches}")
    setting = load_setting()
    headers = {name: setting.header(name, as_dict(load_section(name, NETWORKS[name])), "r0", {}) for name in NETWORKS}
    crops = load_still_crops(CROPS / "stills_train.parquet", setting.scheme.num_landmarks)
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{num_workers(0)} cores"
    table = Table("", "threads", "samples/s", "new/s", "loader alone/s", WAITING, COMPUTING, UPDATING, title=f"Training on {where}")
    for name in names:
        loop = load_section(f"pretrain.{name}", LoopParameters)
        speed = learning(setting, headers[name], crops, loop, options.batches)
        numbers = [f"{value:.0f}" for value in (speed.samples, speed.new, speed.alone)]
        threads = "-" if device().type == "cuda" else f"{loop.threads} + {loop.workers}"
        table.add_row(name, threads, *numbers, *(f"{share:.0%}" for share in speed.shares.values()))
    Console().print(table)
    if not options.frames:
        return
    tracks, workers = chosen(unlabelled_rows(), options.frames), num_workers(0)
    table = Table("detector", "frames/s", title=f"Mining with {workers} processes")
    with TemporaryDirectory() as folder:
        files = {name: Path(folder) / f"{name}.safetensors" for name in NETWORKS}
        for name, file in files.items():
            checkpoint.save(file, checkpoint.build(headers[name]), headers[name])
        for name in [name for name in names if name != "strrn"]:
            models = files[name], files["strrn"]
            hashes = tuple(map(file_hash, models))
            run = partial(run_row, crops=CROPS.absolute(), size=setting.reference.size, models=models, hashes=hashes, temporal=True)
            table.add_row(name, f"{mining(run, tracks, workers):.0f}")
    Console().print(table)


if __name__ == "__main__":
    logs.run(main)
