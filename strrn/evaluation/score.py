"""Scores predictions: one dictionary of named fractions per dataset, and one row per frame for the curves."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from strrn.core import metrics
from strrn.core.landmarks import CONFIDENCE_TOLERANCE, LandmarkScheme
from strrn.evaluation.predictions import ClipPredictions, ClipTruth

PERCENTS = (50, 90, 95, 99)
AUC_THRESHOLDS = (0.05, 0.08)


def main_normaliser(scheme: LandmarkScheme) -> str:
    """The normaliser of curves, percentiles and subsets: the scheme's first (inter_ocular for 68 points)."""
    return next(iter(scheme.normalisers))


def score_with_truth(
    predictions: Mapping[str, ClipPredictions], truths: Mapping[str, ClipTruth], scheme: LandmarkScheme, failure_threshold: float
) -> dict:
    """All metrics of METHODS section 5 over the clips of `truths`. Values are fractions or None; `point_error_px` is in pixels.

    Keys without an ending are means over frames, those in `videos` means over videos. A frame without a prediction counts in AUC,
    failure rate and percentiles, and in `missing`; means and jitter are of the frames that have one.
    Raises ValueError where a clip has no predictions at all.
    """
    clips = [_ClipScores(*_aligned(predictions, clip_id, truth, scheme), truth, scheme) for clip_id, truth in truths.items()]
    main, method = main_normaliser(scheme), scheme.method_normaliser
    per_frame = {name: [clip.frames[name] for clip in clips] for name in clips[0].frames} if clips else {}
    scores = {"frames": sum(len(clip.frames["jitter_e3"]) for clip in clips), "num_videos": len(clips)}
    scores |= {name: metrics.mean_over_frames(videos) for name, videos in per_frame.items()}
    for name in (f"nme_{main}", f"rmse_{method}"):
        errors = np.concatenate(per_frame[name])
        label = name.removeprefix("nme_")
        scores |= {f"auc_{threshold}_{label}": metrics.auc(errors, threshold) for threshold in AUC_THRESHOLDS}
        scores[f"failure_rate_{failure_threshold}_{label}"] = metrics.failure_rate(errors, failure_threshold)
    # What the paper's Table 2 calls AUC can only be this: an area up to 0.08 is at most 3/8 + 5/8 of that up to 0.05.
    rmse = np.concatenate(per_frame[f"rmse_{method}"])
    scores |= {f"share_below_{threshold}_rmse_{method}": 1 - metrics.failure_rate(rmse, threshold) for threshold in AUC_THRESHOLDS}
    errors = np.concatenate(per_frame[f"nme_{main}"])
    scores |= {f"nme_{main}_p{percent}": metrics.percentile(errors, percent) for percent in PERCENTS}
    scores["missing"] = metrics.missing_rate(errors)
    scores["jitter_e3_excess"] = scores["jitter_e3"] - scores["truth_e3"]
    scores["rt_jitter"] = metrics.median(np.concatenate([clip.rt_jitter.ravel() for clip in clips]))
    confidence, hit = (np.concatenate(parts) for parts in zip(*(clip.confidence for clip in clips), strict=True))
    scores["confidence_ece"] = metrics.calibration_error(confidence, hit)
    scores["lag_e1"] = metrics.lag_e1([clip.lag for clip in clips])
    scores[f"constant_error_{main}"] = metrics.mean_over_frames([np.array([clip.constant_error]) for clip in clips])
    for group in ("subsets", "components"):
        names = getattr(scheme, group)
        scores[group] = {n: {f"nme_{main}": metrics.mean_over_frames([clip.parts[n] for clip in clips])} for n in names}
    videos = {name: metrics.mean_over_videos(values) for name, values in per_frame.items()}
    videos["rt_jitter"] = metrics.mean_over_frames([np.array([metrics.median(clip.rt_jitter)]) for clip in clips])
    videos["jitter_e3_excess"] = videos["jitter_e3"] - videos["truth_e3"]
    return without_nan(scores | {"videos": videos})


def score_without_truth(
    predictions: Mapping[str, ClipPredictions],
    cycle_errors: Mapping[str, np.ndarray],
    scheme: LandmarkScheme,
    always_in_view: Sequence[str],
    never_in_view: Sequence[str],
) -> dict:
    """What can be said of real clips: rt_jitter, cycle error and lost frames where a face is always in view, false tracks where none is.

    cycle_errors: per clip, of each frame, NaN where there is none. always_in_view, never_in_view: clip ids; other clips (the face comes
    and goes) add only their share of frames with points, `present`, by clip. Raises ValueError for a clip without predictions.
    """
    for clip_id in (*always_in_view, *never_in_view):
        if clip_id not in predictions:
            raise ValueError(f"no predictions of clip {clip_id!r}; there are some of {sorted(predictions)}")
    jitters = [_rt_jitter(predictions[clip_id], scheme) for clip_id in always_in_view]
    cycles = [cycle_errors[clip_id] for clip_id in always_in_view]
    lost = [~predictions[clip_id].present for clip_id in always_in_view]
    false_tracks = [predictions[clip_id].present for clip_id in never_in_view]
    scores = {
        "frames": sum(map(len, lost)),
        "num_videos": len(always_in_view),
        "rt_jitter": metrics.median(np.concatenate([jitter.ravel() for jitter in jitters])) if jitters else math.nan,
        "cycle_error": metrics.median(np.concatenate(cycles)) if cycles else math.nan,
        "lost": metrics.mean_over_frames(lost),
        "false_tracks": metrics.mean_over_frames(false_tracks),
        "videos": {
            "rt_jitter": metrics.mean_over_frames([np.array([metrics.median(jitter)]) for jitter in jitters]),
            "cycle_error": metrics.mean_over_frames([np.array([metrics.median(cycle)]) for cycle in cycles]),
            "lost": metrics.mean_over_videos(lost),
        },
        "present": {clip_id: float(clip.present.mean()) for clip_id, clip in sorted(predictions.items())},
    }
    return without_nan(scores)


def frame_rows(predictions: Mapping[str, ClipPredictions], truths: Mapping[str, ClipTruth], scheme: LandmarkScheme) -> dict:
    """Per-frame columns for the curves: clip_id, frame, the main nme (infinity without a prediction, NaN without truth), residual_jitter."""
    columns: dict[str, list] = {"clip_id": [], "frame": [], "nme": [], "residual_jitter": []}
    for clip_id, truth in truths.items():
        clip = _ClipScores(*_aligned(predictions, clip_id, truth, scheme), truth, scheme)
        errors = clip.frames[f"nme_{main_normaliser(scheme)}"]
        columns["clip_id"] += [clip_id] * len(errors)
        columns["frame"] += range(len(errors))
        columns["nme"] += errors.tolist()
        columns["residual_jitter"] += clip.frames["residual_jitter"].tolist()
    return columns


def without_nan(content: dict) -> dict:
    """The same nested dictionary, rounded to six digits, with None for NaN and infinity, as JSON wants it."""
    clean = {}
    for key, value in content.items():
        if isinstance(value, dict):
            clean[key] = without_nan(value)
        elif isinstance(value, float):
            clean[key] = round(value, 6) if math.isfinite(value) else None
        else:
            clean[key] = value
    return clean


class _ClipScores:
    """Per-frame metrics of one clip. frames: name -> (T,); parts: subset or component -> (T,) nme; rt_jitter (T, L); lag: its sums;
    constant_error: of the clip; confidence: (N,) of all points with a truth, and whether their error is as small as it says."""

    def __init__(self, points: np.ndarray, confidence: np.ndarray, truth: ClipTruth, scheme: LandmarkScheme) -> None:
        target, valid = truth.points_frame, truth.valid
        distances = {name: scheme.distance(target, name) for name in scheme.normalisers}
        method = distances[scheme.method_normaliser]
        width, _ = metrics.box_size(target, valid)
        # The truth's own jitter stands beside the prediction's, over the same frames and landmarks.
        predicted = valid & np.isfinite(points).all(-1)
        self.frames = {f"nme_{name}": metrics.nme(points, target, distance, valid) for name, distance in distances.items()}
        self.frames |= {
            "nme_box": metrics.nme(points, target, metrics.box_distance(target, valid), valid),
            f"rmse_{scheme.method_normaliser}": metrics.rmse(points, target, method, valid),
            "point_error_px": metrics.mean_point_error(points, target, valid),
            "jitter_e3": metrics.jitter_e3(points, width, predicted),
            "truth_e3": metrics.jitter_e3(target, width, predicted),
            "residual_jitter": metrics.residual_jitter(points, target, method, predicted),
        }
        self.rt_jitter = metrics.rt_jitter(np.where(predicted[..., None], points, np.nan), method)
        known = predicted & np.isfinite(confidence) & np.isfinite(method)[:, None]
        errors = metrics.point_errors(points, target, valid) / method[:, None]
        self.confidence = confidence[known], errors[known] < CONFIDENCE_TOLERANCE
        self.lag = metrics.lag_sums(points, target, method, predicted)
        main = distances[main_normaliser(scheme)]
        self.constant_error = metrics.constant_error(points, target, main, valid)
        groups = {name: list(indices) for name, indices in {**scheme.subsets, **scheme.components}.items()}
        self.parts = {name: metrics.nme(points[:, i], target[:, i], main, valid[:, i]) for name, i in groups.items()}


def _rt_jitter(clip: ClipPredictions, scheme: LandmarkScheme) -> np.ndarray:
    return metrics.rt_jitter(clip.points_frame, scheme.distance(clip.points_frame))


def _aligned(
    predictions: Mapping[str, ClipPredictions], clip_id: str, truth: ClipTruth, scheme: LandmarkScheme
) -> tuple[np.ndarray, np.ndarray]:
    """Points and confidences of the truth's frames, NaN where there are none."""
    if clip_id not in predictions:
        raise ValueError(f"no predictions of clip {clip_id!r}; there are some of {sorted(predictions)}")
    clip = predictions[clip_id]
    points = np.full((len(truth.points_frame), scheme.num_landmarks, 2), np.nan, np.float32)
    confidence = np.full(points.shape[:2], np.nan, np.float32)
    count = min(len(points), len(clip.points_frame))
    points[:count], confidence[:count] = clip.points_frame[:count], clip.confidence[:count]
    return points, confidence
