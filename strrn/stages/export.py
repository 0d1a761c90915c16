"""Stage `export`: a round's pair of models as ONNX files that carry all that the tracking loop has to know, checked and timed."""

import logging
import shutil
from dataclasses import dataclass
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import torch

from strrn.core.files import atomic_folder, read_json_lines, write_json
from strrn.core.images import decode_image, reduce_image
from strrn.core.model_files import DETECTOR_FILE, TRACKER_FILE
from strrn.core.tables import read_table
from strrn.data.datasets import load_track
from strrn.models import checkpoint
from strrn.models.brf import Refiner, build_refiner
from strrn.models.export import export_detector, export_refiner, export_tracker, parity, refiner_example, refiner_parity
from strrn.runtime.models import BACKBONE_FILE, REFINER_FILE, ModelPair, open_model
from strrn.runtime.parameters import RuntimeParameters, parameters_to_dict
from strrn.runtime.refine import STATE
from strrn.runtime.timing import letterboxed, loop_frames_per_second, machine, step_milliseconds
from strrn.stages import logs
from strrn.stages.parameters import load_section, load_value
from strrn.stages.paths import CROPS, EXPORTED, MODELS, REFINER, RENDERED, REPORTS
from strrn.stages.promotion import chosen_round

log = logging.getLogger(__name__)
BENCHMARK = REPORTS / "benchmark.json"
START_NOISE = 3.0  # crop pixels: start shapes of the parity check, away from what the detector says
PACKAGES = ("strrn", "torch", "onnx", "onnxruntime")


@dataclass(frozen=True)
class ExportParameters:
    """round: `best`, `last` or the name of a round (see `chosen_round`). max_parity_px: largest difference of a coordinate between network
    and ONNX, in crop pixels, over parity_frames crops. benchmark_frames: of the timed clip, at most."""

    round: str
    max_parity_px: float
    parity_frames: int
    benchmark_frames: int

    def __post_init__(self) -> None:
        if not self.max_parity_px > 0:
            raise ValueError(f"max_parity_px: found {self.max_parity_px}, expected a distance above 0")
        for name in ("parity_frames", "benchmark_frames"):
            if getattr(self, name) < 2:
                raise ValueError(f"{name}: found {getattr(self, name)}, expected at least 2")


def sample_crops(count: int, size: int) -> np.ndarray:
    """(count, size, size, 3) uint8: crops of the tracks in data/crops, spread evenly over all their frames."""
    images = []
    for row in read_json_lines(CROPS / "tracks.jsonl"):
        images.extend(load_track(CROPS / row["path"], row["track_id"], row["clip_id"], size).images)
    if len(images) == 0:
        raise ValueError(f"{CROPS / 'tracks.jsonl'} lists no track with frames: see {CROPS / 'rejected.jsonl'}")
    chosen = np.linspace(0, len(images) - 1, min(count, len(images))).round().astype(int)
    return np.stack([decode_image(images[index]) for index in chosen])


def training_licences() -> str:
    """Licences of all that the models learned from; they bind the weights."""
    licences = {row["licence"] for row in read_json_lines(CROPS / "tracks.jsonl") if row["split"] == "train"}
    licences |= set(map(str, read_table(CROPS / "stills_train.parquet")["licence"]))
    return ", ".join(sorted(licences))


def benchmark_clip() -> Path:
    """The first rendered test clip; for a scheme that has none, the first clip."""
    records = read_json_lines(RENDERED / "clips.jsonl")
    if not records:
        raise ValueError(f"{RENDERED / 'clips.jsonl'} has no clip to time the loop on: raise their number in params.yaml, render.clips")
    return RENDERED / next((record for record in records if record["split"] == "test"), records[0])["path"]


def noisy_shapes(pair: ModelPair, crops: np.ndarray) -> np.ndarray:
    """(N, L, 2) start shapes for the tracker: what the detector says, moved a little."""
    shapes = pair.detect([reduce_image(crop, pair.stride) for crop in crops])[0]
    return shapes + np.random.default_rng(0).normal(0, START_NOISE, shapes.shape).astype(np.float32)


def refiner_frames(refiner: Refiner, shapes: np.ndarray) -> list[dict[str, np.ndarray]]:
    """Inputs of BRF's head for the parity check: two faces, whose shapes follow each other as in a restless video."""
    random = np.random.default_rng(0)
    still = refiner_example(refiner, torch.from_numpy(shapes[0]))
    frames = []
    for before, shape in pairwise(shapes):
        frame = {name: value.numpy().copy() for name, value in still.items() if name not in STATE}
        frame |= {"points_crop": np.stack([shape, before]), "before_crop": np.stack([before, shape])}
        frame["moved_crop"] = frame["points_crop"] + random.normal(0, START_NOISE, frame["points_crop"].shape)
        frame["confidence"] = random.uniform(0.05, 0.95, frame["confidence"].shape)
        frame["flow_error"] = random.exponential(1.0, frame["flow_error"].shape)
        if "patches" in frame:
            frame["patches"] = random.uniform(0, 1, frame["patches"].shape)
        frames.append(frame)
    return frames


def refiner_feeds(refiner: Refiner, shapes: np.ndarray) -> list[dict[str, np.ndarray]]:
    """Inputs of the head for one face, as the loop has them, at the beginning of its memory."""
    state = {name: getattr(refiner.first_state(1), name).numpy() for name in STATE}
    frames = refiner_frames(refiner, shapes)
    return [{name: np.ascontiguousarray(value[:1], np.float32) for name, value in frame.items()} | state for frame in frames]


def checked(
    parameters: ExportParameters,
    folder: Path,
    networks: tuple[torch.nn.Module, torch.nn.Module, Refiner],
    crops: np.ndarray,
    starts: np.ndarray,
) -> dict[str, float]:
    """Largest difference in crop pixels of the ONNX files from (detector, tracker, refiner). Raises ValueError where it is too large."""
    detector, tracker, refiner = networks
    differences = {
        "tracker": parity(tracker, open_model(folder / TRACKER_FILE)[0], crops, starts),
        "detector": parity(detector, open_model(folder / DETECTOR_FILE)[0], crops, None),
        "refiner": refiner_parity(refiner, open_model(folder / REFINER_FILE)[0], refiner_frames(refiner, starts)),
    }
    for kind, difference in differences.items():
        log.info("%s.onnx: at most %.5f px from the network over %d crops", kind, difference, len(crops))
        if not difference <= parameters.max_parity_px:
            raise ValueError(
                f"the exported {kind} gives points {difference:.3f} px from the network's, export.max_parity_px allows "
                f"{parameters.max_parity_px}; nothing was exported"
            )
    return differences


def main() -> None:
    parameters = load_section("export", ExportParameters)
    runtime = load_section("runtime", RuntimeParameters)
    name = chosen_round(parameters.round)
    log.info("round %s is exported", name)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    detector, header = checkpoint.load(MODELS / name / "detector.safetensors")
    tracker, tracker_header = checkpoint.load(MODELS / name / "tracker.safetensors")
    refiner, refiner_header = checkpoint.load(REFINER, build_refiner)
    metadata = {key: header[key] for key in ("scheme", "reference_shape", "face_template", "size", "round")} | {
        "runtime": parameters_to_dict(runtime),
        "versions": {package: version(package) for package in PACKAGES},
        "licence": training_licences(),
    }
    crops = sample_crops(parameters.parity_frames, header["size"])
    with atomic_folder(EXPORTED) as folder:
        export_detector(detector, folder / DETECTOR_FILE, metadata | {"data_hashes": header["data_hashes"]})
        export_tracker(tracker, folder / TRACKER_FILE, metadata | {"data_hashes": tracker_header["data_hashes"]})
        contract = refiner_header["contract"]
        licence = metadata["licence"] if contract is None else f"{metadata['licence']}, {contract['licence']}"
        about = metadata | {"data_hashes": refiner_header["data_hashes"], "licence": licence}
        export_refiner(refiner, folder / REFINER_FILE, about, contract)
        if contract is not None:
            shutil.copyfile(load_value("refine.backbone", str), folder / BACKBONE_FILE)
        starts = noisy_shapes(ModelPair(folder), crops)
        differences = checked(parameters, folder, (detector, tracker, refiner), crops, starts)
    pair = ModelPair(EXPORTED)
    frames = letterboxed(benchmark_clip(), parameters.benchmark_frames)
    speed, share = loop_frames_per_second(pair, frames)
    refined_speed, _ = loop_frames_per_second(pair, frames, refine=True)
    reduced = [reduce_image(crop, pair.stride) for crop in crops]
    times = {
        "tracker": step_milliseconds(pair.track, [([crop], start[None]) * 2 for crop, start in zip(reduced, starts, strict=True)]),
        "detector": step_milliseconds(pair.detect, [([crop],) for crop in reduced]),
        "refiner": step_milliseconds(pair.refinement().step, [(feed,) for feed in refiner_feeds(refiner, starts)]),
    }
    report: dict[str, object] = {"round": name}
    for kind, file in (("tracker", TRACKER_FILE), ("detector", DETECTOR_FILE), ("refiner", REFINER_FILE)):
        report[kind] = {
            "parity_px": differences[kind],
            "step_ms_median": round(times[kind][0], 3),
            "size_mb": round((EXPORTED / file).stat().st_size / 1e6, 3),
        }
    report |= {
        "loop_frames_per_second": round(speed, 1),
        "refined_loop_frames_per_second": round(refined_speed, 1),
        "loop_share_with_face": round(share, 3),
        "machine": machine(),
    }
    write_json(BENCHMARK, report)
    log.info("%.1f frames/s in the whole loop, tracker step %.1f ms, detector %.1f ms", speed, times["tracker"][0], times["detector"][0])


if __name__ == "__main__":
    logs.run(main)
