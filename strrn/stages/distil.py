"""Stage `distil`: trains the models of a round on S and on the round's pseudo-labels."""

import argparse
from functools import partial

from strrn.stages import logs
from strrn.stages.pair import side_by_side
from strrn.stages.parameters import load_section
from strrn.stages.paths import CROPS, MODELS, PSEUDO
from strrn.stages.rounds import load_round
from strrn.stages.setting import load_setting, unlabelled_tracks
from strrn.training.distil import DistilParameters, distil
from strrn.training.loop import LoopParameters


def train(name: str, role: str) -> None:
    """Train the detector or the tracker (`role`) of the round `name`."""
    start, _ = load_round(name)
    setting = load_setting()
    distil(
        setting,
        MODELS / start / f"{role}.safetensors",
        CROPS,
        unlabelled_tracks(setting.reference.size),
        PSEUDO / name,
        load_section("distil.data", DistilParameters),
        load_section(f"distil.{role}", LoopParameters),
        name,
        MODELS / name / f"{role}.safetensors",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--round", required=True)
    side_by_side(partial(train, parser.parse_args().round))


if __name__ == "__main__":
    logs.run(main)
