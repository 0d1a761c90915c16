"""Teacher-student asynchronous learning (TSAL), and the controls that it is compared with, all from the same start and in as many steps.

A reconstruction: of the paper ("Teacher-Student Asynchronous Learning with Multi-Source Consistency for Facial Landmark Detection") this
project has the abstract. That says: two models of one structure; the student updates by supervision from several sources, the teacher by a
single source; the teacher is updated again by recursive average filtering, to absorb what the student found. The sources, the weights, the
losses and the numbers are chosen here (docs/methods/tsal.md).
"""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from strrn.data.augmentation import AugmentationParameters
from strrn.data.datasets import Batches, LabelledCrops, StillDataset, Track, concatenated, load_still_crops, pairs_of
from strrn.data.unlabelled import Frame, FrameDataset, split_labels, unlabelled_frames
from strrn.methods.consistency import agreement, consensus, from_mirrored, in_view, ramp_up, source_errors, to_view
from strrn.methods.losses import heatmap_errors, point_errors
from strrn.methods.registration import grey, lucas_kanade
from strrn.models import checkpoint
from strrn.models.detection import Detection
from strrn.models.pixels import to_float
from strrn.models.precision import full_precision
from strrn.training.detector import HEATMAP_WEIGHT
from strrn.training.distil import round_seed
from strrn.training.distributed import batch_mean
from strrn.training.loop import History, LoopParameters, train
from strrn.training.pretrain import Setting, end_run, start_run, supervised, validation
from strrn.training.self_training import GrowingSet, SelfTrainingParameters
from strrn.training.teacher import TeacherAndStudent

START, CONTINUED, SELF_TRAINING = "start", "supervised", "self_training"
CONTROLS = START, CONTINUED, SELF_TRAINING
Step = Callable[[nn.Module, dict[str, Tensor]], dict[str, Tensor]]


class Source(Enum):
    """What an unlabelled frame's points are taken from. detection: the teacher's, on the frame as it is. mirrored: the teacher's, on its
    mirror image. tracked: the teacher's detection of the frame before, moved by Lucas-Kanade, where tracking back returns."""

    detection = "detection"
    mirrored = "mirrored"
    tracked = "tracked"


@dataclass(frozen=True)
class Arm:
    """A way to teach. queue, rate, own_step: see TeacherAndStudent. sources: of supervision on unlabelled frames, one or more; with a
    single one every landmark weighs 1."""

    queue: int
    rate: float
    own_step: bool
    sources: list[Source]

    def __post_init__(self) -> None:
        if self.queue < 1:
            raise ValueError(f"queue must be at least 1, found {self.queue}")
        if not 0 < self.rate <= 1:
            raise ValueError(f"rate must lie in (0, 1], found {self.rate}: at 0 the teacher would never hear of the student")
        if not self.sources or len(set(self.sources)) < len(self.sources):
            raise ValueError(f"sources must be some of {[source.value for source in Source]}, each once; found {self.sources}")
        if Source.detection not in self.sources:
            raise ValueError(f"sources must hold `detection`, the only one that every frame has; found {[s.value for s in self.sources]}")


@dataclass(frozen=True)
class TSALParameters:
    """weight: of the consistency loss beside the labelled one, reached after `ramp` steps. tau: how far sources may lie apart, share of d.
    batch_size: unlabelled frames in a step. radius: of the patches that Lucas-Kanade moves, in pixels of the reduced picture; iterations:
    its number; max_return: largest error of its way back, share of d."""

    weight: float
    ramp: int
    tau: float
    batch_size: int
    radius: int
    iterations: int
    max_return: float

    def __post_init__(self) -> None:
        for name in ("batch_size", "radius", "iterations"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, found {getattr(self, name)}")
        for name in ("weight", "tau", "max_return"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, found {getattr(self, name)}")
        if self.ramp < 0:
            raise ValueError(f"ramp must not be negative, found {self.ramp}")


@dataclass(frozen=True)
class Common:
    """What the arms of a run share: the labelled crops, the unlabelled frames and views of these for students, and the way to learn from
    labels. loop: of all that follows the start."""

    setting: Setting
    labelled: LabelledCrops
    frames: list[Frame]
    view: AugmentationParameters
    step: Step
    validate: Callable[[nn.Module], float]
    loop: LoopParameters
    seed: int

    def stills(self, stride: int) -> Batches:
        """The labelled part of every batch, the same for all that continue from the start."""
        dataset = StillDataset(self.labelled, self.setting.scheme, self.seed, self.setting.augmentation, None, stride)
        return self.batches(dataset, self.loop.batch_size, self.seed)

    def batches(self, dataset: Dataset, batch_size: int, seed: int) -> Batches:
        return Batches(dataset, batch_size, seed, self.loop.workers, self.loop.num_batches)

    def train(self, model: nn.Module, epoch_batches: Callable[[int], object], name: str) -> History:
        return train(model, epoch_batches, self.step, self.validate, self.loop, f"tsal {name}")


def check_arms(arms: Mapping[str, Arm]) -> None:
    """Raises ValueError for no arm, and for one that is called like a control."""
    if not arms:
        raise ValueError("tsal.arms names no arm: there is nothing to compare with the controls")
    if taken := sorted(set(arms) & set(CONTROLS)):
        raise ValueError(f"tsal.arms: {taken[0]!r} is the name of a control, call the arm otherwise")


def train_tsal(
    setting: Setting,
    header: dict,
    crops: Path,
    tracks: Sequence[Track],
    share: float,
    parameters: TSALParameters,
    view: AugmentationParameters,
    growing: SelfTrainingParameters,
    arms: Mapping[str, Arm],
    first: LoopParameters,
    loop: LoopParameters,
    out: Path,
) -> None:
    """Write `out`/<name>.safetensors, with a log each, for the controls and the arms.

    share: of the labelled stills of `crops` that keeps its labels, drawn by the seed of `setting`. header: of a detector. first: settings of
    the start, which are those of round r0. loop: of all that follows; every one of them makes the same number of steps with as many labels.
    What is kept is the best epoch's, by the same validation stills for all. Raises ValueError as `split_labels`, `check_arms`
    and GrowingSet.
    """
    check_arms(arms)
    if loop.num_batches == 0:
        raise ValueError("params.yaml: num_batches of tsal.detector must be at least 1, found 0")
    labelled, others = split_labels(
        load_still_crops(crops / "stills_train.parquet", setting.scheme.num_landmarks), share, round_seed(setting.seed, "labels")
    )
    frames = unlabelled_frames(others, tracks)
    GrowingSet(frames, growing, loop.max_epochs)  # what it refuses must not wait until the start is trained
    header = {**header, "round": "tsal", "data_hashes": {"stills_train": checkpoint.file_hash(crops / "stills_train.parquet")}}
    seed = round_seed(setting.seed, "tsal")

    start_run(setting.seed, first.threads)
    model = checkpoint.build(header)
    loader, step = supervised(setting, False, model.stride, labelled, first)
    validate = validation(setting, crops, False, model.stride)

    def epoch_batches(epoch: int) -> Batches:
        loader.epoch = epoch
        return loader

    history = train(model, epoch_batches, step, validate, first, "tsal start")
    end_run(out / f"{START}.safetensors", model, header, history)

    common = Common(setting, labelled, frames, view, step, validate, loop, seed)
    runs: dict[str, Callable[[nn.Module], tuple[nn.Module, History]]] = {
        CONTINUED: partial(_continued, common),
        SELF_TRAINING: partial(_self_trained, common, parameters.batch_size, growing),
    }
    for name, arm in arms.items():
        runs[name] = partial(_taught, common, parameters, name, arm)
    for name, run in runs.items():
        start_run(seed, loop.threads)
        trained, history = run(deepcopy(model))
        end_run(out / f"{name}.safetensors", trained, header, history)


def _continued(common: Common, model: nn.Module) -> tuple[nn.Module, History]:
    """Control: as many steps on the labels alone."""
    loaders = {"stills": common.stills(model.stride)}
    return model, common.train(model, lambda epoch: concatenated(loaders, epoch), CONTINUED)


def _self_trained(common: Common, batch_size: int, growing: SelfTrainingParameters, model: nn.Module) -> tuple[nn.Module, History]:
    """Control: classical self-training; pseudo-labels are labels, and their set grows (see GrowingSet)."""
    loaders = {"stills": common.stills(model.stride)}
    pseudo = GrowingSet(common.frames, growing, common.loop.max_epochs)

    def epoch_batches(epoch: int) -> object:
        if pseudo.grows(epoch):
            dataset = StillDataset(pseudo.chosen(model, epoch), common.setting.scheme, common.seed + 1, common.view, None, model.stride)
            loaders["pseudo"] = common.batches(dataset, batch_size, common.seed + 1)
        return concatenated(loaders, epoch)

    return model, common.train(model, epoch_batches, SELF_TRAINING)


def _taught(common: Common, parameters: TSALParameters, name: str, arm: Arm, model: nn.Module) -> tuple[nn.Module, History]:
    """A teacher and a student; returned is the teacher. It is an average already, so that of the loop is off."""
    pair = TeacherAndStudent(model, arm.queue, arm.rate, arm.own_step)
    frames = FrameDataset(common.frames, common.seed + 2, common.view, model.stride)
    loaders = {"stills": common.stills(model.stride), "pair": common.batches(frames, parameters.batch_size, common.seed + 2)}
    learn = tsal_step(common.step, arm, parameters, list(common.setting.scheme.mirror), common.setting.reference.distance)
    taught = replace(common, step=learn, loop=replace(common.loop, average=0.0))
    history = taught.train(pair, lambda epoch: concatenated(loaders, epoch), name)
    return pair.teacher, history


def tsal_step(labelled: Step, arm: Arm, parameters: TSALParameters, mirror: Sequence[int], reference_distance: float) -> Step:
    """The step function of a TeacherAndStudent on batches of labelled crops and, under `pair_`, of a FrameDataset.

    The student learns from the labels and from all sources on unlabelled frames, the teacher (where it steps itself) from the labels alone;
    before that the teacher absorbs what the optimiser's last step made of the student. Errors are in units of the reference shape's d.
    """

    def step(pair: TeacherAndStudent, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        pair.absorb()
        terms = labelled(pair.student, batch)
        if arm.own_step:
            terms |= {f"teacher_{name}": value for name, value in labelled(pair.teacher, batch).items()}
        frames = pairs_of(batch)
        order = torch.tensor(mirror, device=frames["view"].device)
        sources, known = found_by_sources(pair, frames, arm.sources, order, parameters, reference_distance)
        distance = sources.new_full((sources.shape[1],), reference_distance)
        weights = agreement(sources, known, distance, parameters.tau)
        sources = torch.stack([to_view(points, frames["matrix"], frames["mirrored"], order) for points in sources])
        known = torch.stack([in_view(one, frames["mirrored"], order) for one in known])
        weights = in_view(weights, frames["mirrored"], order)
        detection = pair.student.detect(to_float(frames["view"]))
        strength = parameters.weight * ramp_up(pair.steps, parameters.ramp)
        terms["consistency"] = strength * batch_mean(_points_loss(detection, sources, known, distance) * weights, known.any(0))
        if detection.heatmaps:
            ideal = pair.student.codec.encode(consensus(sources, known))
            inside = known.any(0) & (ideal.flatten(2).amax(-1) > 0.1)
            errors = sum(heatmap_errors(heatmaps, ideal) for heatmaps in detection.heatmaps)
            terms["consistency_heatmaps"] = HEATMAP_WEIGHT * strength * batch_mean(errors * weights, inside)
        return terms

    return step


@full_precision
def _points_loss(detection: Detection, sources: Tensor, known: Tensor, distance: Tensor) -> Tensor:
    """(B, L): every recurrent step (or stack) is supervised, as by labels."""
    return sum(source_errors(points.float(), sources, known, distance) for points in detection.steps) / len(detection.steps)


@torch.no_grad()
def found_by_sources(
    pair: TeacherAndStudent,
    frames: Mapping[str, Tensor],
    sources: Sequence[Source],
    mirror: Tensor,
    parameters: TSALParameters,
    reference_distance: float,
) -> tuple[Tensor, Tensor]:
    """What each of `sources` says of a batch of FrameDataset: points (S, B, L, 2) in crop pixels, and where it says anything (S, B, L)."""
    images = to_float(frames["images"])
    found, known = [], []
    for source in sources:
        match source:
            case Source.detection:
                points = pair.teach(images)
                passed = torch.isfinite(points).all(-1)
            case Source.mirrored:
                width = images.shape[-1] * pair.stride  # of the part of the crop that the reduced picture shows
                points = from_mirrored(pair.teach(images.flip(-1)), width, mirror)
                passed = torch.isfinite(points).all(-1)
            case Source.tracked:
                before = to_float(frames["before"])
                points, passed = tracked(before, images, pair.teach(before), pair.stride, parameters, reference_distance)
                passed = passed & frames["moves"][:, None]
        found.append(points)
        known.append(passed)
    return torch.stack(found), torch.stack(known)


@full_precision
def tracked(
    before: Tensor, images: Tensor, points: Tensor, stride: int, parameters: TSALParameters, reference_distance: float
) -> tuple[Tensor, Tensor]:
    """Points (B, L, 2) of one picture moved to the next by Lucas-Kanade, and which of them its way back returns to (B, L), bool.

    before, images: (B, 3, h, w) of one crop, reduced by `stride`; points in crop pixels, as those returned.
    """
    middle = (stride - 1) / 2  # pixel u of a reduced picture lies at stride * u + middle of the crop
    first, second, start = grey(before), grey(images), (points - middle) / stride
    moved = lucas_kanade(first, second, start, start, parameters.radius, parameters.iterations)
    returned = lucas_kanade(second, first, moved, moved, parameters.radius, parameters.iterations)
    errors = point_errors(returned, start, start.new_full((len(start),), reference_distance / stride))
    passed = torch.isfinite(moved).all(-1) & torch.isfinite(returned).all(-1) & (errors < parameters.max_return)
    return moved * stride + middle, passed
