"""Stage `mine`: Algorithm 1 on the unlabelled tracks, with the models of the round that this one starts from."""

import argparse
from functools import cache, partial
from pathlib import Path

from omegaconf import OmegaConf
from torch import nn

from strrn.core.cluster import map_clips
from strrn.core.processes import num_workers
from strrn.data.datasets import load_track
from strrn.models import checkpoint
from strrn.stages import logs
from strrn.stages.parameters import load_mapping, load_section, merge_section
from strrn.stages.paths import CROPS, MODELS, PSEUDO
from strrn.stages.rounds import load_round
from strrn.stages.setting import load_setting, unlabelled_rows, unlabelled_tracks
from strrn.training.mining import MineParameters, TrackPaths, mine, run_track
from strrn.training.pretrain import start_run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--round", required=True)
    name = parser.parse_args().round
    start, overrides = load_round(name)
    load_section("mine", MineParameters)  # what is wrong there is not the round's
    merged = OmegaConf.merge(load_mapping("mine"), overrides)
    parameters = merge_section(f"rounds.{name}", merged, MineParameters)
    setting = load_setting()
    paths = tuple(MODELS / start / f"{role}.safetensors" for role in ("detector", "tracker"))
    size = setting.reference.size
    hashes = tuple(map(checkpoint.file_hash, paths))
    rows = {row["track_id"]: row for row in unlabelled_rows()}
    on_row = partial(_run_row, size=size, paths=paths, hashes=hashes)
    mine(
        unlabelled_tracks(size),
        lambda tracks: map_clips(on_row, [rows[track.track_id] for track in tracks], num_workers(parameters.workers)),
        setting.scheme,
        parameters,
        round_name=name,
        hashes=hashes,
        out=PSEUDO / name,
    )


def _run_row(row: dict, *, size: int, paths: tuple[Path, Path], hashes: tuple[str, str]) -> TrackPaths:
    """In a worker: one track of data/crops/tracks.jsonl through the models."""
    track = load_track(CROPS / row["path"], row["track_id"], row["clip_id"], size)
    return run_track(*_models(paths, hashes), track)


@cache
def _models(paths: tuple[Path, Path], hashes: tuple[str, str]) -> tuple[nn.Module, nn.Module]:
    """Loaded once a process. hashes: a cluster's worker may live for longer than a file stays what it is."""
    start_run(0, threads=1)  # whatever the number of processes, the same sums
    detector, tracker = (checkpoint.load(path)[0] for path in paths)
    return detector, tracker


if __name__ == "__main__":
    logs.run(main)
