"""How long a large collection of videos takes: measured on the cores of this machine, simulated for many more.

    python -m benchmarks.scale my.mp4                       # after `dvc repro`, or with the models of the package
    python -m benchmarks.scale my.mp4 --hours 10000 --rate 25

Measured: frames/s from a video's file to its Parquet table with one process and with two (copies of the video, the same `map_clips` as
the pipeline's), bytes read and written for an hour of video, and how many empty tasks a second a Dask scheduler hands out. Simulated: the
collection cut into clips, each of which takes the measured time (give or take SPREAD), on 1 to 1,000 workers that take the next clip when
they are free; a clip costs the scheduler its time, and a worker dies once in LIFE hours and loses the clip that it had.
"""

import argparse
import heapq
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from rich.console import Console
from rich.table import Table

from strrn.core.cluster import ADDRESS, map_clips
from strrn.core.model_files import default_models
from strrn.core.video import probe, read_frames
from strrn.runtime.tracker import Tracker
from strrn.runtime.video import track_frames
from strrn.stages import logs

WORKERS = (1, 2)
COPIES = 4  # of the video, a worker
TASKS = 1000
CLIP_HOURS = 0.25
SPREAD = 0.3  # standard deviation of the logarithm of a clip's time
LIFE = 100.0
SIMULATED = (1, 10, 100, 1000)


@dataclass(frozen=True)
class Costs:
    """frames_per_second: of one core. scheduler_seconds: a task. read, written: GB an hour of video."""

    frames_per_second: float
    scheduler_seconds: float
    read: float
    written: float


def track_file(table: Path, *, video: Path, models: Path) -> int:
    """Landmarks of a video into a table; the number of its frames. Runs in a worker."""
    return track_frames(read_frames(video), Tracker(models), None, table, lambda count: None).frames


def measure(video: Path, models: Path) -> tuple[Costs, dict[int, float]]:
    """The costs, and frames/s of all workers together by their number."""
    os.environ.pop(ADDRESS, None)  # it is this machine that is measured
    speeds: dict[int, float] = {}
    info = probe(video)
    hours = info.num_frames / info.fps / 3600
    run = partial(track_file, video=video.absolute(), models=models.absolute())
    with TemporaryDirectory() as folder:
        for workers in WORKERS:
            tables = [Path(folder) / f"{number}.parquet" for number in range((1 + COPIES) * workers)]
            # A long and a short run: their difference is without the start of the processes.
            short, long = (_seconds(run, part, workers) for part in (tables[:workers], tables))
            speeds[workers] = COPIES * workers * info.num_frames / (long - short)
        written = tables[0].stat().st_size / 1e9 / hours
    return Costs(speeds[1], _scheduler_seconds(), video.stat().st_size / 1e9 / hours, written), speeds


def _seconds(run: Callable[[Path], int], tables: Sequence[Path], workers: int) -> float:
    started = time.perf_counter()
    list(map_clips(run, tables, workers))
    return time.perf_counter() - started


def _scheduler_seconds() -> float:
    """What an empty task costs a Dask scheduler and a worker on this machine."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0", host="127.0.0.1") as cluster:
        os.environ[ADDRESS] = cluster.scheduler_address
        try:
            started = time.perf_counter()
            list(map_clips(abs, range(TASKS), 1))
            return (time.perf_counter() - started) / TASKS
        finally:
            del os.environ[ADDRESS]


def simulate(costs: Costs, hours: float, rate: float, workers: int, seed: int = 0) -> tuple[float, float]:
    """(hours until the last clip is done, share of the workers' time that was of use)."""
    rng = np.random.default_rng(seed)
    clip = CLIP_HOURS * rate / costs.frames_per_second  # hours of work
    work = list(clip * np.exp(SPREAD * rng.standard_normal(max(1, round(hours / CLIP_HOURS))) - SPREAD**2 / 2))
    useful = sum(work)
    free = [0.0] * workers
    scheduler = end = 0.0
    while work:
        # The first worker that is free takes the next clip, when the scheduler has time.
        scheduler = max(scheduler, heapq.heappop(free)) + costs.scheduler_seconds / 3600
        needed, death = work.pop(), rng.exponential(LIFE)
        if death < needed:
            work.append(needed)
        done = scheduler + min(needed, death)
        end = max(end, done)
        heapq.heappush(free, done)
    return end, useful / (end * workers)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path, help="a video like those of the collection")
    parser.add_argument("--models", type=Path, help="folder with tracker.onnx and detector.onnx")
    parser.add_argument("--hours", type=float, default=10_000, help="of video in the collection (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=25, help="its frames a second (default: %(default)s)")
    options = parser.parse_args(arguments)
    costs, speeds = measure(options.video, options.models or default_models())
    console = Console()
    for workers, speed in speeds.items():
        console.print(f"{workers} worker{'s' if workers > 1 else ''}: {speed:.0f} frames/s, {speed / workers:.0f} a core")
    console.print(f"a Dask scheduler: {1 / costs.scheduler_seconds:.0f} tasks/s")
    console.print(f"read {costs.read:.2f} and write {costs.written:.3f} GB an hour of video")
    table = Table(
        "workers", "hours", "of use", "read, GB/s", "core hours", title=f"simulated: {options.hours:,.0f} hours at {options.rate:g} frames/s"
    )
    for workers in SIMULATED:
        hours, used = simulate(costs, options.hours, options.rate, workers)
        reading = costs.read * options.hours / (hours * 3600)
        table.add_row(f"{workers:,}", f"{hours:,.1f}", f"{used:.1%}", f"{reading:.3f}", f"{hours * workers:,.0f}")
    console.print(table)


if __name__ == "__main__":
    logs.run(main)
