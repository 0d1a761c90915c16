"""Stage `mine`: Algorithm 1 on the unlabelled tracks, with the models of the round that this one starts from."""

import argparse

from omegaconf import OmegaConf

from strrn.models import checkpoint
from strrn.stages import logs
from strrn.stages.parameters import load_mapping, load_section, merge_section
from strrn.stages.paths import MODELS, PSEUDO
from strrn.stages.rounds import load_round
from strrn.stages.setting import load_setting, unlabelled_tracks
from strrn.training.mining import MineParameters, mine
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
    start_run(setting.seed, parameters.threads)
    paths = [MODELS / start / f"{role}.safetensors" for role in ("detector", "tracker")]
    detector, tracker = (checkpoint.load(path)[0] for path in paths)
    mine(
        detector,
        tracker,
        unlabelled_tracks(setting.reference.size),
        setting.scheme,
        parameters,
        round_name=name,
        hashes=(checkpoint.file_hash(paths[0]), checkpoint.file_hash(paths[1])),
        out=PSEUDO / name,
    )


if __name__ == "__main__":
    logs.run(main)
