"""Stage `pretrain`: round r0, the detector and the tracker that saw labelled stills only."""

from strrn.models.checkpoint import file_hash
from strrn.models.parameters import HGNParameters, MDMParameters, STRRNParameters, as_dict
from strrn.stages import logs
from strrn.stages.pair import side_by_side
from strrn.stages.parameters import load_section, load_value
from strrn.stages.paths import CROPS, MODELS
from strrn.stages.rounds import FIRST
from strrn.stages.setting import load_setting
from strrn.training.loop import LoopParameters
from strrn.training.pretrain import pretrain

NETWORKS = {"mdm": MDMParameters, "hgn": HGNParameters, "strrn": STRRNParameters}


def train(role: str) -> None:
    """Train the backbone (role `detector`) or STRRN (`tracker`)."""
    architecture = "strrn" if role == "tracker" else load_value("backbone", str)
    if role == "detector" and architecture not in ("mdm", "hgn"):
        raise ValueError(f"params.yaml: backbone must be mdm or hgn, found {architecture!r}")
    setting = load_setting()
    hashes = {"stills_train": file_hash(CROPS / "stills_train.parquet")}
    parameters = as_dict(load_section(architecture, NETWORKS[architecture]))
    header = setting.header(architecture, parameters, FIRST, hashes)
    loop = load_section(f"pretrain.{architecture}", LoopParameters)
    pretrain(setting, header, CROPS, loop, MODELS / FIRST / f"{role}.safetensors")


def main() -> None:
    side_by_side(train)


if __name__ == "__main__":
    logs.run(main)
