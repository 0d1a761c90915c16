"""Stage `pretrain`: round r0, the detector and the tracker that saw labelled stills only."""

from strrn.models import checkpoint
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


def main() -> None:
    setting = load_setting()
    backbone, start = load_value("backbone", Backbone), load_value("pretrain.encoder", Encoder)
    hashes = {"stills_train": file_hash(CROPS / "stills_train.parquet")}
    # All is read and built before anything is trained: a wrong value must not wait until the detector is done.
    runs = []
    for role, architecture in (("detector", backbone.value), ("tracker", "strrn")):
        parameters = as_dict(load_section(architecture, NETWORKS[architecture]))
        header = setting.header(architecture, parameters, FIRST, hashes)
        loop = load_section(f"pretrain.{architecture}", LoopParameters)
        runs.append((header, loop, MODELS / FIRST / f"{role}.safetensors"))
    shares = start is Encoder.detector and backbone is Backbone.mdm
    detector, tracker = (checkpoint.build(header) for header, *_ in runs)
    if shares:
        tracker.start_from(detector)
    for (header, loop, out), encoder in zip(runs, (None, runs[0][2] if shares else None), strict=True):
        pretrain(setting, header, CROPS, loop, out, encoder)


if __name__ == "__main__":
    logs.run(main)
