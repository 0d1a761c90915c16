"""Semantic alignment (SA) with GHCU: labels are searched while a heatmap network learns from them; beside training on them as they are.

A reconstruction: of the paper ("Semantic Alignment: Finding Semantically Consistent Ground-truth for Facial Landmark Detection") this
project has the abstract; what is from it and what is chosen here stands in docs/methods/sa.md.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from strrn.core.files import write_json
from strrn.core.images import decode_image
from strrn.data.datasets import Batches, LabelledCrops, load_still_crops
from strrn.data.label_noise import ContourNoiseParameters, directions_along, split_errors, with_contour_noise
from strrn.methods.semantic import SearchParameters, search
from strrn.models import checkpoint
from strrn.models.ghcu import GHCUParameters
from strrn.models.hourglass import HGN
from strrn.models.pixels import network_input
from strrn.training.detector import Normaliser, detector_error, validation_loader
from strrn.training.distil import round_seed
from strrn.training.distributed import device, from_first, is_first
from strrn.training.ghcu import train_ghcu
from strrn.training.loop import History, LoopParameters, train
from strrn.training.pretrain import Setting, end_run, start_run, supervised

START, CONTINUED, ALIGNED, CORRECTED, CEILING = "start", "supervised", "semantic", "semantic_ghcu", "clean"
LABELS_FILE = "labels.json"
BATCH = 32
Labels = Callable[[HGN], LabelledCrops]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SAParameters:
    """stills: how many of the labelled stills are learned from, drawn by the seed; 0: all. rounds: how often labels are searched, and then
    learned from."""

    stills: int
    rounds: int

    def __post_init__(self) -> None:
        if self.stills < 0:
            raise ValueError(f"stills must not be negative, found {self.stills}")
        if self.rounds < 1:
            raise ValueError(f"rounds must be at least 1, found {self.rounds}")


def arms_of(noise: ContourNoiseParameters) -> list[str]:
    """The arms of a run; that of clean labels only where the others learn from labels that were changed."""
    return [START, CONTINUED, ALIGNED, CORRECTED] + ([CEILING] if noise.deviation else [])


@dataclass(frozen=True)
class Task:
    """What is learned from, and how. header: of an HGN. crops: folder of the labelled stills. noise: what their labels are changed by, those
    of validation too; the truth is measured against. first: settings of the start; loop: of each of the rounds that continue it."""

    setting: Setting
    header: dict
    crops: Path
    parameters: SAParameters
    noise: ContourNoiseParameters
    searching: SearchParameters
    first: LoopParameters
    loop: LoopParameters


@dataclass(frozen=True)
class Alignment:
    """The outcome of `align`. rows: of the labelled stills, those that are learned from. annotated, held_out: their labels and those of
    validation, with the noise; truth, clean: without. start, model: before and after the alternation, with their histories. labels: as
    `model` finds them. measured: how far labels lie from the truth (`label_errors`), as annotated and after each search."""

    rows: np.ndarray
    truth: LabelledCrops
    annotated: LabelledCrops
    held_out: LabelledCrops
    clean: LabelledCrops
    start: HGN
    start_history: History
    model: HGN
    history: History
    labels: LabelledCrops
    measured: list[dict[str, float]]


def align(task: Task) -> Alignment:
    """Train a heatmap network on the labels as they are, then search labels and train on what is found by turns."""
    setting, noise = task.setting, task.noise
    line = noise.landmarks(setting.scheme)  # what it refuses must not wait until the start is trained
    seed = round_seed(setting.seed, "sa")
    stills = load_still_crops(task.crops / "stills_train.parquet", setting.scheme.num_landmarks)
    rows = draw(len(stills), task.parameters.stills, seed)
    truth = chosen(stills, rows)
    annotated = with_contour_noise(truth, setting.scheme, noise, (seed, 0))
    clean = load_still_crops(task.crops / "stills_val.parquet", setting.scheme.num_landmarks)
    held_out = with_contour_noise(clean, setting.scheme, noise, (seed, 1))

    start_run(setting.seed, task.first.threads)
    start = checkpoint.build(task.header)
    start_history = History(_trained(setting, start, annotated, held_out, task.first, f"sa {START}"))

    measured = [label_errors(annotated, truth, setting, noise)]

    def searched(model: HGN) -> LabelledCrops:
        found = search_labels(model, annotated, line, task.searching, setting)
        measured.append(label_errors(found, truth, setting, noise))
        log.info("sa: labels of the %s are %.4f d from the truth, %.4f before", noise.component, measured[-1]["error"], measured[0]["error"])
        return found

    model, history = _continued(after_start(setting), task.parameters.rounds, task.loop, deepcopy(start), searched, held_out, ALIGNED)
    return Alignment(rows, truth, annotated, held_out, clean, start, start_history, model, history, searched(model), measured)


def after_start(setting: Setting) -> Setting:
    """For what follows the start: other views than those that the start has seen."""
    return replace(setting, seed=round_seed(setting.seed, "sa"))


def train_sa(task: Task, correction: GHCUParameters, correction_loop: LoopParameters, out: Path) -> None:
    """Write `out`/<arm>.safetensors, with a log each, for `arms_of(task.noise)`; and labels.json: what `align` measured.

    The rounds that continue the start learn from the labels as they are (the control), searched anew before every round (SA), or true
    (`clean`: what a perfect search would give). What is kept of a round is the best epoch by validation labels of the arm's own kind.
    """
    header = {**task.header, "round": "sa", "data_hashes": {"stills_train": checkpoint.file_hash(task.crops / "stills_train.parquet")}}
    found = align(task)
    end_run(out / f"{START}.safetensors", found.start, header, found.start_history)
    end_run(out / f"{ALIGNED}.safetensors", found.model, header, found.history)
    if is_first():
        write_json(out / LABELS_FILE, found.measured)

    later = after_start(task.setting)
    controls = {CONTINUED: (found.annotated, found.held_out)}
    if task.noise.deviation:
        controls[CEILING] = (found.truth, found.clean)
    for name, (labelled, held_out) in controls.items():
        start, rounds = deepcopy(found.start), task.parameters.rounds
        model, history = _continued(later, rounds, task.loop, start, lambda _, labels=labelled: labels, held_out, name)
        end_run(out / f"{name}.safetensors", model, header, history)

    start_run(later.seed, correction_loop.threads)
    corrected, corrected_header, history = train_ghcu(later, found.model, header, found.labels, found.held_out, correction, correction_loop)
    end_run(out / f"{CORRECTED}.safetensors", corrected, corrected_header, history)


def draw(available: int, count: int, seed: int) -> np.ndarray:
    """Rows of `count` of the labelled stills, drawn by the seed, in their order; 0: all. Raises ValueError where there are fewer."""
    if count > available:
        raise ValueError(f"sa.data.stills is {count}, and there are {available} labelled stills: lower it, or 0 for all")
    return np.sort(np.random.default_rng(seed).permutation(available)[: count or available])


def chosen(crops: LabelledCrops, rows: np.ndarray) -> LabelledCrops:
    return LabelledCrops([crops.images[row] for row in rows], crops.points[rows], crops.valid[rows])


def validation_error(setting: Setting, held_out: LabelledCrops, stride: int) -> Callable[[nn.Module], float]:
    """As `strrn.training.pretrain.validation`, on labels that are at hand."""
    loader = validation_loader(held_out, setting.scheme, 0, setting.augmentation, None, stride)
    return detector_error(loader, Normaliser(setting.scheme))


def _trained(
    setting: Setting, model: nn.Module, labelled: LabelledCrops, held_out: LabelledCrops, loop: LoopParameters, what: str, first: int = 0
) -> list[tuple[int, str, float]]:
    """Train the model on labels; the rows of the log, of which the first is of epoch `first`."""
    loader, step = supervised(setting, False, model.stride, labelled, loop)

    def epoch_batches(epoch: int) -> Batches:
        loader.epoch = first + epoch
        return loader

    history = train(model, epoch_batches, step, validation_error(setting, held_out, model.stride), loop, what)
    return [(first + epoch, name, value) for epoch, name, value in history.rows]


def _continued(
    setting: Setting, rounds: int, loop: LoopParameters, model: nn.Module, labels: Labels, held_out: LabelledCrops, name: str
) -> tuple[nn.Module, History]:
    """Rounds of two steps: take the labels that the model as it is leads to, and train it on them."""
    start_run(setting.seed, loop.threads)
    rows = []
    for number in range(rounds):
        labelled, what = labels(model), f"sa {name}, round {number + 1}"
        rows += _trained(setting, model, labelled, held_out, loop, what, number * loop.max_epochs)
    return model, History(rows)


def search_labels(model: HGN, annotated: LabelledCrops, line: list[int], parameters: SearchParameters, setting: Setting) -> LabelledCrops:
    """Step 1 of the alternation, the network fixed: the annotated crops with the landmarks of a line, where labelled, as
    `search` finds them.

    d is the reference shape's, as in the losses: crops are canonical.
    """
    return LabelledCrops(annotated.images, from_first(partial(_searched, model, annotated, line, parameters, setting)), annotated.valid)


@torch.no_grad()
def _searched(model: HGN, annotated: LabelledCrops, line: list[int], parameters: SearchParameters, setting: Setting) -> np.ndarray:
    place = device()
    model.to(place).eval()
    codec, mirror = model.codec, list(setting.scheme.mirror)
    found = annotated.points.copy()
    directions = torch.from_numpy(directions_along(found[:, line])).float()
    for begin in range(0, len(annotated), BATCH):
        rows = slice(begin, begin + BATCH)
        images = network_input([decode_image(image) for image in annotated.images[rows]], model.stride).to(place)
        heatmaps = model.detect(images).heatmaps[-1]
        if parameters.mirrored:
            heatmaps = (heatmaps + model.detect(images.flip(-1)).heatmaps[-1].flip(-1)[:, mirror]) / 2
        points = torch.from_numpy(annotated.points[rows][:, line]).to(place)
        distance = points.new_full((len(points),), setting.reference.distance / codec.stride)
        along, annotations = directions[rows].to(place), codec.to_heatmap(points.nan_to_num())
        y = codec.to_crop(search(heatmaps[:, line], annotations, along, distance, codec.sigma, parameters))
        found[rows, line] = torch.where(torch.isnan(points), points, y).cpu().numpy()
    model.cpu()
    return found


def label_errors(labels: LabelledCrops, truth: LabelledCrops, setting: Setting, noise: ContourNoiseParameters) -> dict[str, float]:
    """How far labels lie from the truth, in units of d: `split_errors` of the component of the noise, and `others`, the root mean square
    over all other landmarks."""
    others = np.setdiff1d(np.arange(setting.scheme.num_landmarks), noise.landmarks(setting.scheme))
    distances = np.linalg.norm(labels.points - truth.points, axis=-1)[:, others] / setting.scheme.distance(truth.points)[:, None]
    return split_errors(labels.points, truth.points, setting.scheme, noise) | {"others": float(np.sqrt(np.nanmean(np.square(distances))))}


def recovered(measured: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """What labels.json says, as metrics: the errors of the labels before and after, and shares of them that the search took away."""
    before, after = measured[0], measured[-1]
    scores = {f"{name}_before": value for name, value in before.items()} | {f"{name}_after": value for name, value in after.items()}
    return scores | {f"recovered_{name}": 1 - after[name] / before[name] for name in before if before[name]}
