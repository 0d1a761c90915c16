"""Stage `pretrain`: round r0, the detector and the tracker that saw labelled stills only."""

from strrn.models.checkpoint import file_hash
from strrn.models.parameters import Backbone, HGNParameters, MDMParameters, STRRNParameters, as_dict
from strrn.stages import logs
from strrn.stages.parameters import load_section, load_value
from strrn.stages.paths import CROPS, MODELS
from strrn.stages.rounds import FIRST
from strrn.stages.setting import load_setting
from strrn.training.loop import LoopParameters
from strrn.training.pretrain import Encoder, pretrain

NETWORKS = {"mdm": MDMParameters, "hgn": HGNParameters, "strrn": STRRNParameters}


def train(role: str) -> None:
    """Train the backbone (role `detector`) or STRRN (`tracker`), which comes after it."""
    # Both values are read for both roles: a wrong one must not wait until the detector is trained.
    backbone, start = load_value("backbone", Backbone), load_value("pretrain.encoder", Encoder)
    architecture = "strrn" if role == "tracker" else backbone.value
    setting = load_setting()
    hashes = {"stills_train": file_hash(CROPS / "stills_train.parquet")}
    parameters = as_dict(load_section(architecture, NETWORKS[architecture]))
    header = setting.header(architecture, parameters, FIRST, hashes)
    loop = load_section(f"pretrain.{architecture}", LoopParameters)
    shares = role == "tracker" and start is Encoder.detector and backbone is Backbone.mdm
    encoder = MODELS / FIRST / "detector.safetensors" if shares else None
    pretrain(setting, header, CROPS, loop, MODELS / FIRST / f"{role}.safetensors", encoder)


def main() -> None:
    for role in ("detector", "tracker"):
        train(role)


if __name__ == "__main__":
    logs.run(main)
