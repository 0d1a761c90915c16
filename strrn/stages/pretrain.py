"""Stages `pretrain_detector` and `pretrain_tracker`: round r0."""

import argparse

from strrn.models.checkpoint import file_hash
from strrn.models.parameters import HGNParameters, MDMParameters, STRRNParameters, as_dict
from strrn.stages import logs
from strrn.stages.parameters import load_section, load_value
from strrn.stages.paths import CROPS, MODELS
from strrn.stages.setting import load_setting
from strrn.training.loop import LoopParameters
from strrn.training.pretrain import pretrain


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=["detector", "tracker"], required=True)
    role = parser.parse_args().model
    architecture = "strrn" if role == "tracker" else load_value("backbone", str)
    match architecture:
        case "mdm":
            parameters = load_section("mdm", MDMParameters)
        case "hgn":
            parameters = load_section("hgn", HGNParameters)
        case "strrn":
            parameters = load_section("strrn", STRRNParameters)
        case other:
            raise ValueError(f"params.yaml: backbone must be mdm or hgn, found {other!r}")
    setting = load_setting()
    hashes = {"stills_train": file_hash(CROPS / "stills_train.parquet")}
    header = setting.header(architecture, as_dict(parameters), "r0", hashes)
    loop = load_section(f"pretrain.{architecture}", LoopParameters)
    pretrain(setting, header, CROPS, loop, MODELS / "r0" / f"{role}.safetensors")


if __name__ == "__main__":
    logs.run(main)
