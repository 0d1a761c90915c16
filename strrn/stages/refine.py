"""Stage `refine`: BRF's head over a frozen backbone; trained on videos with truth, scored beside the backbone and filters of its points."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch

from strrn.core.files import read_json_lines, write_json
from strrn.core.images import decode_image
from strrn.core.landmarks import LandmarkScheme
from strrn.core.processes import num_workers
from strrn.core.tables import read_table, truth_schema
from strrn.core.video import read_frames
from strrn.data.datasets import LabelledCrops, load_still_crops
from strrn.data.sequences import SequenceParameters, synthetic_video
from strrn.evaluation.clips import EvaluationClip
from strrn.evaluation.predict import REFINED, predict
from strrn.evaluation.refined import DETECTOR, open_backbone, refined_models
from strrn.evaluation.rounds import EvaluateParameters, score_round
from strrn.evaluation.stills import Tested
from strrn.evaluation.tradeoff import BACKBONE, at_same_lag, tradeoff, write_filtered
from strrn.models import checkpoint
from strrn.models.brf import RefinerParameters, build_refiner, main_modes
from strrn.runtime.backbone import contract_to_dict, read_contract
from strrn.runtime.parameters import RuntimeParameters
from strrn.stages import logs
from strrn.stages.evaluate import load_clips, load_stills
from strrn.stages.parameters import load_section, load_value
from strrn.stages.paths import BRF_PREDICTIONS, BRF_SCORES, MODELS, REFINER, RENDERED
from strrn.stages.promotion import chosen_round
from strrn.stages.setting import load_setting, stills_folder
from strrn.training.distil import round_seed
from strrn.training.loop import LoopParameters
from strrn.training.pretrain import Setting, start_run
from strrn.training.refine import JitterParameters, Look, Recording, RefineDataParameters, record, train_refiner, usable

log = logging.getLogger(__name__)


def rendered_videos(setting: Setting, split: str) -> list[list[tuple[np.ndarray, np.ndarray]]]:
    """Frames and truth of the rendered clips of a split; none for a scheme whose points cannot be had from the renderer's."""
    if not setting.scheme.knows_ibug68:
        return []
    videos = []
    for clip in read_json_lines(RENDERED / "clips.jsonl"):
        if clip["split"] == split and clip["kind"] == "rendered":
            truth = read_table(RENDERED / clip["truth"], truth_schema(setting.scheme.num_landmarks))
            frames = [frame for _, _, frame in read_frames(RENDERED / clip["path"])]
            videos.append(list(zip(frames, truth["points_frame"], strict=True)))
    return videos


def synthetic_videos(stills: LabelledCrops, count: int, num_frames: int, parameters: SequenceParameters, seed: int) -> list[Iterator]:
    """`count` videos of num_frames made of stills, each of another still as far as there are enough."""
    chosen = np.random.default_rng(seed).permutation(np.arange(count) % len(stills))
    return [
        synthetic_video(
            decode_image(stills.images[still]),
            np.where(stills.valid[still][:, None], stills.points[still], np.nan).astype(np.float32),
            num_frames,
            parameters,
            np.random.default_rng((seed, number)),
        )
        for number, still in enumerate(chosen)
    ]


def recordings(
    setting: Setting, look: Look, stride: int, parameters: RefineDataParameters, video: SequenceParameters, seed: int
) -> tuple[list[Recording], list[float], list[Recording]]:
    """(training, how often each comes, held out): what the backbone says of the rendered clips and of videos made of stills."""
    random = np.random.default_rng(seed)

    def recorded(videos: Sequence) -> list[Recording]:
        return record(videos, look, stride, setting.reference, random)

    training_clips, held_out_clips = (rendered_videos(setting, split) if parameters.repeat else [] for split in ("train", "val"))
    number = round(parameters.held_out * len(training_clips))
    held_out = [one for clip in held_out_clips + training_clips[:number] for one in recorded([clip])]
    rendered = [one for clip in training_clips[number:] for one in recorded([clip])]
    train, val = (load_still_crops(stills_folder() / f"stills_{split}.parquet", setting.scheme.num_landmarks) for split in ("train", "val"))
    synthetic = recorded(synthetic_videos(train, parameters.synthetic, parameters.frames, video, seed))
    if not held_out:
        held_out = recorded(synthetic_videos(val, max(2, parameters.synthetic // 8), parameters.frames, video, seed + 1))
    rendered, synthetic = kept(rendered, "rendered", setting), kept(synthetic, "synthetic", setting)
    held_out = kept(held_out, "held out", setting)
    return rendered + synthetic, [float(parameters.repeat)] * len(rendered) + [1.0] * len(synthetic), held_out


def kept(recordings: list[Recording], what: str, setting: Setting) -> list[Recording]:
    """Those in which the backbone keeps the face; all of them where there is none, as with a backbone that has hardly been trained."""
    chosen = [one for one in recordings if usable(one, setting.reference.distance)]
    log.info("%s: %d videos, the backbone keeps the face in %d", what, len(recordings), len(chosen))
    if recordings and not chosen:
        log.warning("%s: the backbone loses every face; the head learns from what is left of them. Train the backbone for longer", what)
    return chosen or recordings


def train(backbone: str, name: str) -> None:
    setting = load_setting()
    head = load_section("refine.head", RefinerParameters)
    data, video = load_section("refine.data", RefineDataParameters), load_section("refine.video", SequenceParameters)
    jitter, loop = load_section("refine.jitter", JitterParameters), load_section("refine.loop", LoopParameters)
    seed = round_seed(setting.seed, "brf")
    start_run(seed, loop.threads)
    detector = MODELS / name / "detector.safetensors"
    unit, side = head.cell * setting.reference.distance, 2 * head.window - 1
    look, stride, has_patches = open_backbone(backbone, detector, setting.reference.shape, setting.reference.size, unit, side)
    file = detector if backbone == DETECTOR else Path(backbone)
    contract = None if backbone == DETECTOR else contract_to_dict(read_contract(backbone))
    labelled = stills_folder() / "stills_train.parquet"
    hashes = {"backbone": checkpoint.file_hash(file), "stills_train": checkpoint.file_hash(labelled)}
    header = setting.header("brf", asdict(head) | {"patches": has_patches}, name, hashes) | {"contract": contract}
    model = build_refiner(header)
    stills = load_still_crops(labelled, setting.scheme.num_landmarks)
    shapes = torch.from_numpy(stills.points[stills.valid.all(1)])
    model.basis.copy_(main_modes(shapes, torch.from_numpy(setting.reference.shape), head.modes))
    training, weights, held_out = recordings(setting, look, stride, data, video, seed)
    history = train_refiner(model, training, weights, held_out, data.frames, setting, jitter, loop, seed)
    checkpoint.save(REFINER, model, header)
    history.write(REFINER.with_suffix(".log.csv"))


def score(backbone: str, name: str) -> None:
    """The backbone, the head and the filters on test clips and pictures; the cycle error of real clips is judged by the round's tracker."""
    parameters, scheme = load_section("evaluate", EvaluateParameters), load_setting().scheme
    clips = [*load_clips(parameters, scheme), *load_stills(scheme)]
    pair = (MODELS / name / f"{role}.safetensors" for role in ("detector", "tracker"))
    predict(
        clips,
        partial(refined_models, backbone, *pair, REFINER),
        scheme,
        load_section("runtime", RuntimeParameters),
        BRF_PREDICTIONS,
        max_frames=parameters.max_frames_per_clip,
        workers=num_workers(parameters.workers),
        systems=[BACKBONE, REFINED],
    )
    compare(clips, scheme, parameters)


def compare(tested: Sequence[Tested], scheme: LandmarkScheme, parameters: EvaluateParameters) -> None:
    """Score the predictions of backbone and head, and the filters of the backbone's at the head's lag."""
    clips = [clip for clip in tested if isinstance(clip, EvaluationClip)]
    rows = tradeoff(BRF_PREDICTIONS, clips, scheme, parameters.failure_threshold)
    settings = at_same_lag(rows) if rows else {}
    write_filtered(BRF_PREDICTIONS, clips, scheme, settings)
    write_json(BRF_PREDICTIONS / "tradeoff.json", {"rows": rows, "settings": settings})
    score_round(BRF_PREDICTIONS, tested, scheme, parameters, BRF_SCORES, [BACKBONE, *settings, REFINED])


def main() -> None:
    backbone, name = load_value("refine.backbone", str), chosen_round(load_value("export.round", str))
    train(backbone, name)
    score(backbone, name)


if __name__ == "__main__":
    logs.run(main)
