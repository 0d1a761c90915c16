"""Round r0: a detector and a tracker trained on labelled crops alone."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import torch
from torch import Tensor, nn

from strrn.core.landmarks import LandmarkScheme, scheme_to_dict
from strrn.data.augmentation import AugmentationParameters
from strrn.data.datasets import Batches, LabelledCrops, StillDataset, load_still_crops
from strrn.data.motion import MotionParameters, SyntheticMotion
from strrn.models import checkpoint
from strrn.training import resume
from strrn.training.detector import Normaliser, detector_error, detector_step, validation_loader
from strrn.training.distributed import is_first, wait_for_all
from strrn.training.flicker import FlickerParameters
from strrn.training.loop import History, LoopParameters, train
from strrn.training.reference import Reference
from strrn.training.tracker import SyntheticVideos, supervised_step, tracker_error


class Encoder(Enum):
    """Where the tracker's patch encoder starts. own: at random. detector: at the trained detector's, if that is an MDM."""

    own = "own"
    detector = "detector"


@dataclass(frozen=True)
class Setting:
    """What every training run of an experiment shares."""

    scheme: LandmarkScheme
    reference: Reference
    augmentation: AugmentationParameters
    motion: MotionParameters
    flicker: FlickerParameters
    seed: int

    def synthetic_motion(self, is_tracker: bool) -> SyntheticMotion | None:
        """What StillDataset adds for the tracker; nothing for a detector."""
        return SyntheticMotion(self.scheme, self.reference.shape, self.reference.size, self.motion) if is_tracker else None

    def synthetic_videos(self) -> SyntheticVideos:
        return SyntheticVideos(self.motion, self.flicker, self.reference.distance)

    def header(self, architecture: str, parameters: dict, round_name: str, data_hashes: dict[str, str]) -> dict:
        return {
            "architecture": architecture,
            "parameters": parameters,
            "scheme": scheme_to_dict(self.scheme),
            "reference_shape": self.reference.shape.tolist(),
            "face_template": self.reference.face_template.tolist(),
            "size": self.reference.size,
            "round": round_name,
            "data_hashes": data_hashes,
            "train_seed": self.seed,
        }


def start_run(seed: int, threads: int) -> None:
    """Make torch repeatable: the same seed and number of threads give the same weights.

    On a GPU some operations have no repeatable form (the ways back through `sample` and `through_forward`): torch warns of them.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS wants it for that
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())
    torch.utils.deterministic.fill_uninitialized_memory = False  # it shows faults of torch's own, for a tenth of the time


def end_run(out: Path, model: nn.Module, header: dict, history: History) -> None:
    """Write the model, and the log beside it. Where several processes trained it, one writes, and all wait for that."""
    if is_first():
        checkpoint.save(out, model, header)
        history.write(out.with_suffix(".log.csv"))
    wait_for_all()


def pretrain(
    setting: Setting,
    header: dict,
    crops: Path,
    loop: LoopParameters,
    out: Path,
    encoder: Path | None = None,
    refresh: Callable[[LabelledCrops, int], None] | None = None,
    snapshots: Path | None = None,
) -> None:
    """Train the network that the header describes on `crops`/stills_train.parquet and write it to `out`, with a log beside it.

    encoder: a detector whose patch encoder the tracker starts from. refresh: makes the crops those of an epoch (0: as they are on disk).
    snapshots: folder where every epoch leaves what it takes to go on after it, and where a training that was killed finds it.
    """
    start_run(setting.seed, loop.threads)
    model = checkpoint.build(header)
    if encoder is not None:
        model.start_from(checkpoint.load(encoder)[0])
    what = f"pretrain {header['architecture']}"
    is_tracker = header["architecture"] == "strrn"
    count = setting.scheme.num_landmarks
    labelled = load_still_crops(crops / "stills_train.parquet", count)
    loader, step = supervised(setting, is_tracker, model.stride, labelled, loop)

    def epoch_batches(epoch: int) -> Batches:
        if refresh:
            refresh(labelled, epoch)
        loader.epoch = epoch
        return loader

    decides = (header, loop, setting.augmentation, setting.motion, setting.flicker, checkpoint.weights_hash(model), bool(refresh))
    snapshot = resume.Snapshot(what, *decides, folder=snapshots) if snapshots else None
    history = train(model, epoch_batches, step, validation(setting, crops, is_tracker, model.stride), loop, what, snapshot)
    end_run(out, model, header, history)


def supervised(
    setting: Setting, is_tracker: bool, stride: int, crops: LabelledCrops, loop: LoopParameters
) -> tuple[Batches, Callable[[nn.Module, dict[str, Tensor]], dict[str, Tensor]]]:
    """Augmented batches of `crops` for a network with this `stride`, and the step function that learns from them."""
    dataset = StillDataset(crops, setting.scheme, setting.seed, setting.augmentation, setting.synthetic_motion(is_tracker), stride)
    if is_tracker:
        step = supervised_step(setting.synthetic_videos())
    else:
        step = detector_step(Normaliser(setting.scheme), setting.reference.distance)
    return Batches(dataset, loop.batch_size, setting.seed, loop.workers, loop.num_batches or None), step


def validation(setting: Setting, crops: Path, is_tracker: bool, stride: int) -> Callable[[nn.Module], float]:
    """The validation error on fixed views of stills_val.parquet."""
    held_out = load_still_crops(crops / "stills_val.parquet", setting.scheme.num_landmarks)
    loader = validation_loader(held_out, setting.scheme, 0, setting.augmentation, setting.synthetic_motion(is_tracker), stride)
    normalise = Normaliser(setting.scheme)
    return tracker_error(loader, normalise, setting.flicker) if is_tracker else detector_error(loader, normalise)
