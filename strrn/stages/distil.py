"""Stage `distil`: trains one model of a round on S and on the round's pseudo-labels."""

import argparse

from strrn.stages import logs
from strrn.stages.parameters import load_section
from strrn.stages.paths import CROPS, MODELS, PSEUDO
from strrn.stages.rounds import load_round
from strrn.stages.setting import load_setting, unlabelled_tracks
from strrn.training.distil import DistilParameters, distil
from strrn.training.loop import LoopParameters


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--round", required=True)
    name = parser.parse_args().round
    start, _ = load_round(name)
    parameters = load_section("distil.data", DistilParameters)
    setting = load_setting()
    tracks = unlabelled_tracks(setting.reference.size)
    for role in ("detector", "tracker"):
        distil(
            setting,
            MODELS / start / f"{role}.safetensors",
            CROPS,
            tracks,
            PSEUDO / name,
            parameters,
            load_section(f"distil.{role}", LoopParameters),
            name,
            MODELS / name / f"{role}.safetensors",
        )


if __name__ == "__main__":
    logs.run(main)
