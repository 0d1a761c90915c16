"""Stage `mine`: Algorithm 1 on the unlabelled tracks, with the models of the round that this one starts from."""

import argparse
from functools import partial
from pathlib import Path

from omegaconf import OmegaConf

from strrn.core.cluster import map_clips
from strrn.core.processes import num_workers
from strrn.data.datasets import load_track_frames
from strrn.methods.trajectory import TrajectoryParameters
from strrn.models import checkpoint
from strrn.stages import logs
from strrn.stages.parameters import PARAMS_FILE, load_mapping, load_section, load_value, merge_section
from strrn.stages.paths import CROPS, MODELS, PSEUDO
from strrn.stages.rounds import load_round
from strrn.stages.setting import load_setting, unlabelled_rows
from strrn.training.mining import MineParameters, mine, run_row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--round", required=True)
    name = parser.parse_args().round
    (start, _), parameters = load_round(name), load_mining(name)
    setting = load_setting()
    paths = tuple(MODELS / start / f"{role}.safetensors" for role in ("detector", "tracker"))
    hashes = tuple(map(checkpoint.file_hash, paths))
    rows = {row["track_id"]: row for row in unlabelled_rows()}
    temporal = load_value("temporal", bool)
    mirror = setting.scheme if parameters.mirror else None
    on_row = partial(run_row, crops=CROPS, size=setting.reference.size, models=paths, hashes=hashes, temporal=temporal, mirror=mirror)
    mine(
        [load_track_frames(CROPS / row["path"], track_id) for track_id, row in rows.items()],
        lambda tracks: map_clips(on_row, [rows[track.track_id] for track in tracks], num_workers(parameters.workers)),
        setting.scheme,
        parameters,
        load_section("mine.trajectory", TrajectoryParameters),
        round_name=name,
        hashes=hashes,
        out=PSEUDO / name,
    )


def load_mining(name: str, path: Path = PARAMS_FILE) -> MineParameters:
    """Section `mine` with what the round `name` changes of it."""
    values, (_, overrides) = load_mapping("mine", path), load_round(name, path)
    del values["trajectory"]
    merge_section("mine", OmegaConf.create(values), MineParameters, path)  # what is wrong there is not the round's
    return merge_section(f"rounds.{name}", OmegaConf.merge(values, overrides), MineParameters, path)


if __name__ == "__main__":
    logs.run(main)
