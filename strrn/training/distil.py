"""One round of distillation (STRRN, Training Procedure): Train(Detector, D_det + S) and Train(STRRN, D_tck)."""

import logging
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np

from strrn.core.tables import detections_schema, pseudo_labels_schema, read_table
from strrn.data.datasets import Batches, LabelledCrops, PairDataset, StillDataset, Track, concatenated, load_still_crops
from strrn.models import checkpoint
from strrn.training.detector import Normaliser, detector_step
from strrn.training.loop import LoopParameters, train
from strrn.training.pretrain import Setting, end_run, start_run, validation
from strrn.training.tracker import ensemble_step

log = logging.getLogger(__name__)


class TrackerData(Enum):
    """What labels teach the tracker in a round. d_tck: the paper. d_tck_and_s: the labelled stills with synthetic motion stay in."""

    d_tck = "d_tck"
    d_tck_and_s = "d_tck_and_s"


@dataclass(frozen=True)
class DistilParameters:
    """pseudo_share: part of a batch that pseudo-labels fill; lambda_tck, lambda_det: of the two terms of eq. 6 (paper: 1 and 0.4; 0 leaves
    one out); unlabelled_weight: of eq. 6 beside the labelled loss; through_forward: see `cycle_losses`; pair_batch_size: pairs of unlabelled
    frames in a step. cycle_steps: of such a pair's way forward, and of its way back (the paper: 1); cycle_skip: from which frame to which a
    step goes (the paper: to the next, 1)."""

    pseudo_share: float
    tracker_data: TrackerData
    lambda_tck: float
    lambda_det: float
    unlabelled_weight: float
    through_forward: bool
    pair_batch_size: int
    cycle_steps: int
    cycle_skip: int

    def __post_init__(self) -> None:
        if not 0 < self.pseudo_share < 1:
            raise ValueError(f"pseudo_share must lie in (0, 1), found {self.pseudo_share}")
        for name in ("lambda_tck", "lambda_det", "unlabelled_weight"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, found {getattr(self, name)}")
        for name in ("pair_batch_size", "cycle_steps", "cycle_skip"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, found {getattr(self, name)}")

    @property
    def reach(self) -> int:
        """Frames from one end of a cycle to the other."""
        return self.cycle_steps * self.cycle_skip


def pseudo_labelled_crops(labels: Path, tracks: list[Track], teaches: str, num_landmarks: int) -> LabelledCrops:
    """D_det (teaches = detector) or D_tck (tracker) as labelled crops; the mask becomes `valid`. May be empty."""
    columns = read_table(labels, pseudo_labels_schema(num_landmarks))
    rows = np.flatnonzero(columns["teaches"] == teaches)
    images = {(track.track_id, int(frame)): image for track in tracks for frame, image in zip(track.frames, track.images, strict=True)}
    points = np.where(columns["mask"][rows][..., None], columns["points_crop"][rows], np.nan).astype(np.float32)
    keys = [(columns["clip_id"][row], int(columns["frame"][row])) for row in rows]
    missing = [key for key in keys if key not in images]
    if missing:
        raise ValueError(f"{labels}: {len(missing)} pseudo-labels have no crop, the first is {missing[0]}: mine the round again")
    return LabelledCrops([images[key] for key in keys], points, columns["mask"][rows].astype(bool))


def kept_pairs(detections: Path, tracks: list[Track], num_landmarks: int, reach: int) -> tuple[list[np.ndarray], np.ndarray]:
    """(detections (T, L, 2) of every track, rows (P, 2) of (track number, row of frame t) whose frame t passed the check and follows `reach`
    frames without a gap, which need not have passed it)."""
    columns = read_table(detections, detections_schema(num_landmarks))
    points, pairs = [], []
    for number, track in enumerate(tracks):
        rows = np.flatnonzero(columns["track_id"] == track.track_id)
        points.append(columns["points_crop"][rows])
        pairs += [
            (number, t)
            for t in range(reach, len(rows))
            if columns["reason"][rows[t]] == "" and track.frames[t] - track.frames[t - reach] == reach
        ]
    return points, np.array(pairs, int).reshape(-1, 2)


def round_seed(seed: int, round_name: str) -> int:
    """A seed of the round's own: with that of the run every round would draw the views again that r0 learned from first."""
    return int(np.random.SeedSequence([seed, *round_name.encode()]).generate_state(1)[0])


def distil(
    setting: Setting,
    start: Path,
    crops: Path,
    tracks: list[Track],
    pseudo: Path,
    parameters: DistilParameters,
    loop: LoopParameters,
    round_name: str,
    out: Path,
) -> None:
    """Train the model at `start` further on this round's pseudo-labels (folder `pseudo`) and write it to `out`.

    Which of the two models it is, its header says. Raises ValueError where a tracker should learn from D_tck alone and that is empty.
    """
    if loop.num_batches == 0:
        raise ValueError("params.yaml: num_batches of distil.detector and distil.tracker must be at least 1, found 0")
    seed = round_seed(setting.seed, round_name)
    start_run(seed, loop.threads)
    model, header = checkpoint.load(start)
    is_tracker = header["architecture"] == "strrn"
    role = "tracker" if is_tracker else "detector"
    count = setting.scheme.num_landmarks
    labels = pseudo / "labels.parquet"
    pseudo_crops = pseudo_labelled_crops(labels, tracks, role, count)
    motion = setting.synthetic_motion(is_tracker)
    stills_only = len(pseudo_crops) == 0
    pseudo_only = is_tracker and parameters.tracker_data is TrackerData.d_tck
    if stills_only and pseudo_only:
        raise ValueError(
            f"{labels} has nothing that teaches the tracker: set distil.data.tracker_data to d_tck_and_s, or raise the threshold"
        )

    share = 0.0 if stills_only else 1.0 if pseudo_only else parameters.pseudo_share
    pseudo_size = round(loop.batch_size * share)
    loaders: dict[str, Batches] = {}
    if pseudo_size < loop.batch_size:
        stills = load_still_crops(crops / "stills_train.parquet", count)
        dataset = StillDataset(stills, setting.scheme, seed, setting.augmentation, motion, model.stride)
        loaders["stills"] = Batches(dataset, loop.batch_size - pseudo_size, seed, loop.workers, loop.num_batches)
    if pseudo_size:
        dataset = StillDataset(pseudo_crops, setting.scheme, seed + 1, setting.augmentation, motion, model.stride)
        # A small set of pseudo-labels must not shrink the batch: `Batches` repeats its samples as other views.
        loaders["pseudo"] = Batches(dataset, pseudo_size, seed + 1, loop.workers, loop.num_batches)
    if is_tracker and parameters.unlabelled_weight > 0:
        points, pairs = kept_pairs(pseudo / "detections.parquet", tracks, count, parameters.reach)
        if not len(pairs):
            log.warning(
                "%s: no frame that passed the check follows %d others without a gap: eq. 6 is left out", round_name, parameters.reach
            )
        else:
            dataset = PairDataset(tracks, points, pairs, model.stride, parameters.cycle_steps, parameters.cycle_skip)
            loaders["pair"] = Batches(dataset, parameters.pair_batch_size, seed + 2, loop.workers, loop.num_batches)

    if is_tracker:
        step = ensemble_step(
            setting.synthetic_videos(),
            parameters.lambda_tck,
            parameters.lambda_det,
            parameters.unlabelled_weight,
            parameters.through_forward,
        )
    else:
        step = detector_step(Normaliser(setting.scheme), setting.reference.distance)
    history = train(
        model,
        lambda epoch: concatenated(loaders, epoch),
        step,
        validation(setting, crops, is_tracker, model.stride),
        loop,
        f"distil {round_name} {role}",
    )
    hashes = {"labels": checkpoint.file_hash(labels), "start": checkpoint.file_hash(start)}
    end_run(out, model, {**header, "round": round_name, "data_hashes": hashes}, history)
