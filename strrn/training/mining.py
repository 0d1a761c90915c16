"""Runs a pair of models over unlabelled tracks and applies Algorithm 1: detections, cycle losses, pseudo-labels."""

import itertools
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import nn

from strrn.core.confidence import expected_error
from strrn.core.files import write_json
from strrn.core.geometry import CropTransform
from strrn.core.images import decode_image
from strrn.core.landmarks import LandmarkScheme
from strrn.core.mirror import both_ways
from strrn.core.progress import progress
from strrn.core.tables import SCHEMA_VERSION, detections_schema, pseudo_labels_schema, write_table
from strrn.data.datasets import Track, TrackFrames, load_track
from strrn.methods.selection import FOLLOWED, CycleLosses, Gate, Selected, Selection, ThresholdKind, cycle_losses, select
from strrn.methods.trajectory import TrajectoryParameters, follow
from strrn.models import checkpoint
from strrn.models.pixels import network_input
from strrn.training.pretrain import start_run

log = logging.getLogger(__name__)
BATCH = 32


@dataclass(frozen=True)
class MineParameters:
    """threshold: T of Algorithm 1; min_landmarks: the share that must pass with `gate: landmark`; mirror: detections are the mean of those
    in the crop and in its mirror image; workers: processes, 0 = all cores."""

    threshold: float
    threshold_kind: ThresholdKind
    selection: Selection
    gate: Gate
    min_landmarks: float
    mirror: bool
    workers: int

    def __post_init__(self) -> None:
        if self.threshold <= 0:
            raise ValueError(f"threshold must be positive, found {self.threshold}")
        if self.workers < 0:
            raise ValueError(f"workers must not be negative, found {self.workers}")
        if not 0 < self.min_landmarks <= 1:
            raise ValueError(f"min_landmarks must lie in (0, 1], found {self.min_landmarks}")


@dataclass(frozen=True)
class TrackPaths:
    """Points of a track of T frames, (T, L, 2) each. `detected` and `tracked` lie in the crop of their frame; row t of `tracked` starts
    from the detection of t - 1. Row t of `start`, that detection, and of `back_from_detection` and `back_from_track`, which should end
    there, lies in the crop of t - 1. Row 0 of these is NaN. Without the temporal module t - 1 is t everywhere here.
    confidence: (T, L) of `detected`; transforms: of the crops."""

    detected: np.ndarray
    start: np.ndarray
    tracked: np.ndarray
    back_from_detection: np.ndarray
    back_from_track: np.ndarray
    confidence: np.ndarray
    transforms: Sequence[CropTransform]


def run_track(detector: nn.Module, tracker: nn.Module, track: Track, *, temporal: bool, mirror: LandmarkScheme | None = None) -> TrackPaths:
    """Detect in every frame and step forward and backward between neighbours (Algorithm 1, lines 3 to 10).

    temporal: false looks at no neighbour (the paper's ablation without the temporal module). Every step then stays in its frame: the
    tracker refines the detection, and the losses say how far it moves it, once and from where it has moved it to.
    mirror: the scheme of the landmarks, where detections are to be the mean of those in the crop and in its mirror image.
    """

    def detect(images: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        points, confidence = detector(network_input(images, detector.stride))
        return points.numpy(), confidence.numpy()

    reduced, detected, sure = [], [], []
    with torch.no_grad():
        for start in range(0, len(track), BATCH):
            images = [decode_image(content) for content in track.images[start : start + BATCH]]
            points, confidence = detect(images) if mirror is None else both_ways(detect, mirror, images[0].shape[1], images)
            detected.append(points)
            sure.append(confidence)
            reduced.append(network_input(images, tracker.stride))
        detections, pixels = np.concatenate(detected), torch.cat(reduced)

        def to_next(points: np.ndarray) -> np.ndarray:
            """Row t - 1, in its own crop, to the crop of row t."""
            pairs = zip(points[:-1], track.transforms[:-1], track.transforms[1:], strict=True)
            return np.stack([after.to_crop(before.to_frame(p)) for p, before, after in pairs])

        def to_previous(points: np.ndarray) -> np.ndarray:
            """Row t to the crop of row t - 1."""
            pairs = zip(points, track.transforms[:-1], track.transforms[1:], strict=True)
            return np.stack([before.to_crop(after.to_frame(p)) for p, before, after in pairs])

        def step(images: torch.Tensor, starts: np.ndarray, images_before: torch.Tensor, points_before: np.ndarray) -> np.ndarray:
            values = (images, torch.from_numpy(starts), images_before, torch.from_numpy(points_before))
            return np.concatenate([tracker(*chunk).numpy() for chunk in zip(*(value.split(BATCH) for value in values), strict=True)])

        if temporal:
            origins = detections[:-1]
            forward = step(pixels[1:], to_next(detections), pixels[:-1], detections[:-1])
            back_from_detection = step(pixels[:-1], to_previous(detections[1:]), pixels[1:], detections[1:])
            back_from_track = step(pixels[:-1], to_previous(forward), pixels[1:], forward)
        else:
            origins = detections[1:]
            forward = back_from_detection = step(pixels[1:], origins, pixels[1:], origins)
            back_from_track = step(pixels[1:], forward, pixels[1:], forward)
    gap = np.full((1, *detections.shape[1:]), np.nan, np.float32)
    stepped = (np.concatenate([gap, points]) for points in (origins, forward, back_from_detection, back_from_track))
    return TrackPaths(detections, *stepped, np.concatenate(sure), track.transforms)


def run_row(
    row: dict, *, crops: Path, size: int, models: tuple[Path, Path], hashes: tuple[str, str], temporal: bool, mirror: LandmarkScheme | None
) -> TrackPaths:
    """`run_track` of a track of `crops`/tracks.jsonl, for workers. models: files of detector and tracker; hashes: theirs, since a worker may
    live for longer than a file stays what it is; temporal, mirror: see there."""
    track = load_track(crops / row["path"], row["track_id"], row["clip_id"], size)
    return run_track(*_loaded(models, hashes), track, temporal=temporal, mirror=mirror)


@cache
def _loaded(models: tuple[Path, Path], hashes: tuple[str, str]) -> tuple[nn.Module, nn.Module]:
    start_run(0, threads=1)  # whatever the number of processes, the same sums
    detector, tracker = (checkpoint.load(path)[0] for path in models)
    return detector, tracker


def mine(
    tracks: Sequence[TrackFrames],
    run: Callable[[Sequence[TrackFrames]], Iterable[TrackPaths]],
    scheme: LandmarkScheme,
    parameters: MineParameters,
    trajectory: TrajectoryParameters,
    *,
    round_name: str,
    hashes: tuple[str, str],
    out: Path,
) -> None:
    """Write labels.parquet (D_det and D_tck), detections.parquet (every detection and both losses) and summary.json into `out`.

    run: `run_track` of each of the tracks that it is given. trajectory: for the selection of that name. hashes: of the detector's and the
    tracker's file.
    Raises ValueError where not one frame is kept, naming the losses' distribution.
    """
    usable = [track for track in tracks if len(track) >= 2]
    if not usable:
        raise ValueError(f"round {round_name}: no unlabelled track of two frames or more; see data/crops/rejected.jsonl")
    paths = list(progress(run(usable), f"mine {round_name}", len(usable)))
    starts = [p.start[1:] for p in paths]
    losses = cycle_losses(
        np.concatenate(starts),
        np.concatenate([p.back_from_detection[1:] for p in paths]),
        np.concatenate([p.back_from_track[1:] for p in paths]),
        np.concatenate([scheme.distance(s) for s in starts]),
    )
    # A pair across a gap in the track is no pair of consecutive frames.
    consecutive = np.concatenate([np.diff(track.frames) == 1 for track in usable])
    repeats = np.concatenate([track.repeats[1:] for track in usable])
    chosen = select(
        losses,
        repeats | ~consecutive,
        threshold=parameters.threshold,
        threshold_kind=parameters.threshold_kind,
        selection=parameters.selection,
        gate=parameters.gate,
        min_landmarks=parameters.min_landmarks,
    )
    chosen.reasons[~consecutive] = "follows a gap in the track"
    tracked = np.concatenate([p.tracked[1:] for p in paths])
    detected = np.concatenate([p.detected[1:] for p in paths])
    for_detector, for_tracker = tracked, detected
    if parameters.selection.teaches_both:
        for_detector = for_tracker = (tracked + detected) / 2
    if parameters.selection is Selection.trajectory:
        followed, supported = follow_tracks(usable, paths, chosen.kept, scheme, trajectory)
        rescued = ~chosen.kept & ~repeats & consecutive & supported
        for_detector = for_tracker = np.where(rescued[:, None, None], followed, for_detector)
        for field in (chosen.kept, chosen.teaches_detector, chosen.teaches_tracker, chosen.mask):
            field[rescued] = True
        chosen.reasons[rescued] = FOLLOWED
    summary = summarise(losses, chosen, usable, round_name)
    if not chosen.kept.any():
        write_json(out / "summary.json", summary)  # says more than the message has room for
        quantiles = {name: summary["quantiles"][name] for name in ("l_det", "l_tck")}
        raise ValueError(
            f"round {round_name}: threshold {parameters.threshold} keeps none of {len(chosen.kept)} frames. "
            f"Distribution of the losses: {quantiles}. "
            f"Raise rounds.{round_name}.threshold in params.yaml, or set its threshold_kind to quantile"
        )
    track_ids = np.concatenate([np.full(len(track) - 1, track.track_id, object) for track in usable])
    frames = np.concatenate([track.frames[1:] for track in usable])
    rows = [(i, "detector", for_detector[i]) for i in np.flatnonzero(chosen.teaches_detector)]
    rows += [(i, "tracker", for_tracker[i]) for i in np.flatnonzero(chosen.teaches_tracker)]
    rows.sort(key=lambda row: (row[0], row[1]))
    index = np.array([row[0] for row in rows], int)
    count = scheme.num_landmarks
    write_table(
        out / "labels.parquet",
        {
            "clip_id": track_ids[index],
            "frame": frames[index],
            "teaches": [row[1] for row in rows],
            "points_crop": np.stack([row[2] for row in rows]) if rows else np.zeros((0, count, 2)),
            "mask": chosen.mask[index],
            "l_det": losses.l_det[index],
            "l_tck": losses.l_tck[index],
            "round": [round_name] * len(rows),
            "detector_hash": [hashes[0]] * len(rows),
            "tracker_hash": [hashes[1]] * len(rows),
            "schema_version": [SCHEMA_VERSION] * len(rows),
        },
        pseudo_labels_schema(count),
    )
    first = np.cumsum([0] + [len(track) - 1 for track in usable])
    columns: dict[str, list] = {name: [] for name in detections_schema(count).names}
    for number, (track, path) in enumerate(zip(usable, paths, strict=True)):
        span = slice(first[number], first[number + 1])
        columns["track_id"].append(np.full(len(track), track.track_id, object))
        columns["frame"].append(track.frames)
        columns["points_crop"].append(path.detected)
        columns["l_det"].append(np.concatenate([[np.nan], losses.l_det[span]]))
        columns["l_tck"].append(np.concatenate([[np.nan], losses.l_tck[span]]))
        columns["reason"].append(np.concatenate([["first frame of the track"], chosen.reasons[span]]).astype(object))
    write_table(out / "detections.parquet", {k: np.concatenate(v) for k, v in columns.items()}, detections_schema(count))
    write_json(out / "summary.json", summary)
    log.info(
        "round %s: %d of %d frames kept (threshold %.4f; %d failed it and were followed), %d teach the detector, %d the tracker",
        round_name,
        summary["kept"],
        summary["frames_seen"],
        chosen.threshold,
        summary["followed"],
        summary["teaches"]["detector"],
        summary["teaches"]["tracker"],
    )


def follow_tracks(
    tracks: Sequence[TrackFrames], paths: Sequence[TrackPaths], kept: np.ndarray, scheme: LandmarkScheme, parameters: TrajectoryParameters
) -> tuple[np.ndarray, np.ndarray]:
    """(N, L, 2) points in crop pixels of all frames but the tracks' first, from both sides of time, and (N,) whether they have support.

    kept: (N,) bool, the frames that passed the check. A track none of whose frames did may show no face at all: it has no support.
    """
    points, supported = [], []
    first = 0
    for track, path in zip(tracks, paths, strict=True):
        passed = np.concatenate([[False], kept[first : first + len(track) - 1]])
        first += len(track) - 1
        seen = np.stack([transform.to_frame(p) for transform, p in zip(path.transforms, path.detected, strict=True)]).astype(float)
        distance = float(np.median(scheme.distance(seen)))
        followed, support = follow(seen, expected_error(path.confidence), passed, track.frames, distance, parameters)
        points += [transform.to_crop(p) for transform, p in zip(path.transforms[1:], followed[1:], strict=True)]
        supported.append((support[1:] >= parameters.min_support) & passed.any())
    return np.stack(points).astype(np.float32), np.concatenate(supported)


def summarise(losses: CycleLosses, chosen: Selected, tracks: Sequence[TrackFrames], round_name: str) -> dict:
    """The JSON summary of a round: frames seen, kept, and of these followed (they failed the check); dropped by reason; quantiles of both
    losses; the same per track."""
    points = (0.05, 0.25, 0.5, 0.75, 0.95)

    def dropped(span: slice) -> dict[str, int]:
        names, counts = np.unique([r for r in chosen.reasons[span] if r not in ("", FOLLOWED)], return_counts=True)
        return {str(n): int(c) for n, c in zip(names, counts, strict=True)}

    first = np.cumsum([0] + [len(track) - 1 for track in tracks])
    spans = [slice(a, b) for a, b in itertools.pairwise(first)]
    everything = slice(0, int(first[-1]))
    return {
        "round": round_name,
        "threshold": chosen.threshold,
        "frames_seen": int(first[-1]),
        "kept": int(chosen.kept.sum()),
        "followed": int((chosen.reasons == FOLLOWED).sum()),
        "dropped": dropped(everything),
        "teaches": {"detector": int(chosen.teaches_detector.sum()), "tracker": int(chosen.teaches_tracker.sum())},
        "quantiles": {
            name: {f"{q:.2f}": round(float(np.quantile(values, q)), 6) for q in points}
            for name, values in (("l_det", losses.l_det), ("l_tck", losses.l_tck))
        },
        "per_clip": {
            track.track_id: {
                "frames_seen": len(track) - 1,
                "kept": int(chosen.kept[span].sum()),
                "dropped": dropped(span),
                "median_l_det": round(float(np.median(losses.l_det[span])), 6),
                "median_l_tck": round(float(np.median(losses.l_tck[span])), 6),
            }
            for track, span in zip(tracks, spans, strict=True)
        },
    }
