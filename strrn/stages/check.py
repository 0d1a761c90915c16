"""Reads every section of params.yaml, so that a wrong value of the last stage ends the first."""

from pathlib import Path

from omegaconf import ListConfig

from strrn.core.landmarks import load_scheme
from strrn.data.augmentation import AugmentationParameters
from strrn.data.crops import CropParameters
from strrn.data.download import DownloadParameters
from strrn.data.label_noise import ContourNoiseParameters
from strrn.data.motion import MotionParameters
from strrn.data.sequences import SequenceParameters
from strrn.data.sources.labels import LabelParameters
from strrn.data.sources.videos import VideoParameters
from strrn.evaluation.refined import DETECTOR
from strrn.evaluation.report import ReportParameters
from strrn.evaluation.rounds import EvaluateParameters
from strrn.methods.selection import Selection
from strrn.methods.semantic import SearchParameters
from strrn.methods.trajectory import TrajectoryParameters
from strrn.models.brf import RefinerParameters
from strrn.models.ghcu import GHCUParameters
from strrn.models.parameters import Backbone
from strrn.render.parameters import RenderParameters
from strrn.runtime.backbone import read_contract
from strrn.runtime.parameters import RuntimeParameters
from strrn.stages.align import ALIGNED
from strrn.stages.baseline import METHODS, load_arms
from strrn.stages.export import ExportParameters
from strrn.stages.mine import load_mining
from strrn.stages.parameters import PARAMS_FILE, load_section, load_value
from strrn.stages.paths import CROPS
from strrn.stages.pretrain import NETWORKS
from strrn.stages.promotion import check_rule
from strrn.stages.render import check_rendered
from strrn.stages.rounds import round_names
from strrn.training.distil import DistilParameters
from strrn.training.flicker import FlickerParameters
from strrn.training.loop import LoopParameters
from strrn.training.pretrain import Encoder
from strrn.training.refine import JitterParameters, RefineDataParameters
from strrn.training.sa import SAParameters
from strrn.training.sbr import SBRParameters
from strrn.training.self_training import SelfTrainingParameters
from strrn.training.stream import StreamParameters
from strrn.training.tsal import TSALParameters

SECTIONS = NETWORKS | {
    "download": DownloadParameters,
    "render": RenderParameters,
    "labels": LabelParameters,
    "videos": VideoParameters,
    "crop": CropParameters,
    "augmentation": AugmentationParameters,
    "motion": MotionParameters,
    "flicker": FlickerParameters,
    "pretrain.stream": StreamParameters,
    "pretrain.mdm": LoopParameters,
    "pretrain.hgn": LoopParameters,
    "pretrain.strrn": LoopParameters,
    "mine.trajectory": TrajectoryParameters,
    "distil.data": DistilParameters,
    "distil.detector": LoopParameters,
    "distil.tracker": LoopParameters,
    "sbr.data": SBRParameters,
    "sbr.detector": LoopParameters,
    "tsal.data": TSALParameters,
    "tsal.view": AugmentationParameters,
    "tsal.self_training": SelfTrainingParameters,
    "tsal.detector": LoopParameters,
    "sa.data": SAParameters,
    "sa.noise": ContourNoiseParameters,
    "sa.search": SearchParameters,
    "sa.ghcu": GHCUParameters,
    "sa.start": LoopParameters,
    "sa.detector": LoopParameters,
    "sa.correction": LoopParameters,
    "refine.head": RefinerParameters,
    "refine.data": RefineDataParameters,
    "refine.video": SequenceParameters,
    "refine.jitter": JitterParameters,
    "refine.loop": LoopParameters,
    "runtime": RuntimeParameters,
    "export": ExportParameters,
    "evaluate": EvaluateParameters,
    "report": ReportParameters,
}
VALUES = {
    "scheme": str,
    "seed": int,
    "train_seed": int,
    "backbone": Backbone,
    "stills": str,
    "temporal": bool,
    "labels.rendered": bool,
    "pretrain.encoder": Encoder,
    "mine.selection": Selection,
    "tsal.labels": float,
    "align": ListConfig,
    "baselines": ListConfig,
    "refine.backbone": str,
}


def check_parameters(path: Path = PARAMS_FILE) -> None:
    """Raises ValueError naming the section and what is wrong with it, FileNotFoundError for a backbone of `refine` that is not there."""
    read = {name: load_section(name, into, path) for name, into in SECTIONS.items()}
    values = {name: load_value(name, into, path) for name, into in VALUES.items()}
    for name in round_names(path)[1:]:
        load_mining(name, path)
    load_arms("tsal", path)
    check_rule(read["export"].round, round_names(path))
    if read["pretrain.stream"].fresh and not (read["labels"].rendered and Path(values["stills"]) == CROPS):
        raise ValueError(
            f"{path}: pretrain.stream.fresh replaces rendered stills of {CROPS} by new ones, so that it must be 0 where labels.rendered is "
            "false or `stills` names another folder"
        )
    for name in ("seed", "train_seed"):
        if isinstance(values[name], bool) or values[name] < 0:
            raise ValueError(f"{path}: {name} must be a whole number of at least 0, found {values[name]!r}")
    if not 0 < values["tsal.labels"] <= 1:
        raise ValueError(f"{path}: tsal.labels must be a share above 0, found {values['tsal.labels']}")
    for name, known in (("baselines", [*METHODS]), ("align", [ALIGNED.name])):
        if unknown := [entry for entry in values[name] if entry not in known]:
            raise ValueError(f"{path}, {name}: found {unknown[0]!r}, expected some of {known}")
        if len(set(values[name])) < len(values[name]):
            raise ValueError(f"{path}, {name}: an entry stands twice in {[*values[name]]}")
    if Path(values["stills"]) != CROPS and not (values["align"] and Path(values["stills"]).parent == ALIGNED):
        made = f"give {CROPS}, or a folder of {ALIGNED} with `align: [{ALIGNED.name}]`"
        raise ValueError(f"{path}, stills: {values['stills']} is made by no stage: {made}")
    scheme = load_scheme(values["scheme"])
    check_rendered(scheme, read["labels"].rendered)
    if values["align"] or ALIGNED.name in values["baselines"]:
        read["sa.noise"].landmarks(scheme)
    if read["labels"].semi_share and not (read["labels"].rendered or read["videos"].ibug_300vw):
        raise ValueError(f"{path}: labels.semi_share is of annotated clips: set labels.rendered to true, or name 300VW in videos.ibug_300vw")
    backbone = values["refine.backbone"]
    if backbone != DETECTOR:
        if not Path(backbone).is_file():
            raise FileNotFoundError(f"{path}, refine.backbone: there is no file {backbone!r}; give `{DETECTOR}` or the path of an ONNX file")
        read_contract(backbone)
