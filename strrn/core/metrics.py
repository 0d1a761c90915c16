"""How wrong, how restless and how late a sequence of predicted points is (METHODS, section 5).

Every function returns one value per frame (or per frame and landmark), so that the caller chooses whether to average over frames or
over videos; `mean_over_frames` and `mean_over_videos` do both. Two kinds of missing values are kept apart:
- nothing to compare with (no valid truth, no neighbouring frame): NaN, left out of every average;
- nothing predicted where there is truth: an error of infinity. It is a failure in `ced`, `auc`, `failure_rate` and `percentile`,
  and left out of means: therefore a mean error is always written beside the share of frames without a prediction.

Points are (T, L, 2) in pixels of the frame, `valid` is (T, L) bool, a distance (T,) in pixels is what errors are divided by. No
value is called just "nme": whoever stores it appends the normaliser (`nme_inter_ocular`). All results are fractions.
"""

from collections.abc import Sequence

import numpy as np

Array = np.ndarray


def box_size(points: Array, valid: Array) -> tuple[Array, Array]:
    """Width and height (T,) of the box about the valid points, in pixels; NaN where fewer than two are valid."""
    enough = valid.sum(-1) >= 2
    low = np.where(valid[..., None], points, np.inf).min(-2)
    high = np.where(valid[..., None], points, -np.inf).max(-2)
    size = np.full(low.shape, np.nan)
    size[enough] = np.asarray(high, np.float64)[enough] - np.asarray(low, np.float64)[enough]
    return size[..., 0], size[..., 1]


def box_distance(points: Array, valid: Array) -> Array:
    """sqrt(width * height) (T,) of the points' box: the normaliser of `nme_box`."""
    width, height = box_size(points, valid)
    return np.sqrt(width * height)


def point_errors(points: Array, truth: Array, valid: Array) -> Array:
    """Euclidean distances (T, L) in pixels: NaN where the truth is not valid, infinity where nothing is predicted."""
    difference = np.asarray(points, np.float64) - np.asarray(truth, np.float64)
    errors = np.hypot(difference[..., 0], difference[..., 1])
    errors = np.where(np.isfinite(points).all(-1), errors, np.inf)
    return np.where(valid & np.isfinite(truth).all(-1), errors, np.nan)


def mean_point_error(points: Array, truth: Array, valid: Array) -> Array:
    """Mean point-to-point distance (T,) in pixels over the valid landmarks; NaN and infinity as in `point_errors`."""
    return _mean_last(point_errors(points, truth, valid))


def nme(points: Array, truth: Array, distance: Array, valid: Array) -> Array:
    """Normalised mean error (T,): mean distance of the valid landmarks / distance. Stored as `nme_<normaliser>`."""
    return mean_point_error(points, truth, valid) / distance


def rmse(points: Array, truth: Array, distance: Array, valid: Array) -> Array:
    """The papers' "RMSE" (T,): sqrt(mean over valid landmarks of the squared distance) / distance. Stored as `rmse_inter_pupil`.

    It is about 1.35 times `nme` by the same distance, because large errors weigh more.
    """
    return np.sqrt(_mean_last(point_errors(points, truth, valid) ** 2)) / distance


def ced(errors: Array, thresholds: Array) -> Array:
    """Cumulative error distribution: share of frames with error <= threshold, for each threshold. NaN errors are left out."""
    known = _known(errors)
    if len(known) == 0:
        return np.full(len(thresholds), np.nan)
    return np.searchsorted(np.sort(known), thresholds, side="right") / len(known)


def auc(errors: Array, threshold: float) -> float:
    """Area under the CED from 0 to the threshold, divided by the threshold: 1 where every error is 0. NaN without errors.

    The CED is a staircase, so the area is exact: mean of max(0, 1 - error / threshold).
    """
    known = _known(errors)
    return float(np.maximum(0.0, 1.0 - known / threshold).mean()) if len(known) else float("nan")


def failure_rate(errors: Array, threshold: float) -> float:
    """Share of frames whose error is above the threshold; one without a prediction (infinite error) is. NaN without errors."""
    known = _known(errors)
    return float((known > threshold).mean()) if len(known) else float("nan")


def missing_rate(errors: Array) -> float:
    """Share of frames with truth but without a complete prediction. NaN without errors."""
    known = _known(errors)
    return float(np.isinf(known).mean()) if len(known) else float("nan")


def percentile(errors: Array, percent: float) -> float:
    """The smallest error that `percent` % of the frames do not exceed (nearest rank); infinite where they have no prediction."""
    known = _known(errors)
    return float(np.percentile(known, percent, method="inverted_cdf")) if len(known) else float("nan")


def jitter_e3(points: Array, width: Array, valid: Array) -> Array:
    """E3 of each frame (T,): RMS over landmarks of p_t - (p_{t-1} + p_{t+1}) / 2, divided by the face's width (FHR).

    width: of the true box, or of the predicted one where there is no truth. NaN where one of the three frames has no points. It
    contains the face's true acceleration: put the truth's own E3 beside it.
    """
    return np.sqrt(_mean_last(np.square(_second_differences(points, valid) / 2))) / width


def rt_jitter(points: Array, distance: Array) -> Array:
    """|p_{t+1} - 2 p_t + p_{t-1}| / distance (T, L), which needs no truth; what is reported is their median. NaN at the ends."""
    return _second_differences(points, np.isfinite(points).all(-1)) / np.asarray(distance)[:, None]


def residual_jitter(points: Array, truth: Array, distance: Array, valid: Array) -> Array:
    """mean over landmarks of |e_t - e_{t-1}| / distance (T,), e = points - truth: what moves without the face. Starts with NaN."""
    residuals = _masked(points, valid) - _masked(truth, valid)
    jitter = np.full(len(residuals), np.nan)
    if len(residuals) > 1:
        change = np.diff(residuals, axis=0)
        jitter[1:] = _mean_last(np.hypot(change[..., 0], change[..., 1]))
    return jitter / distance


def constant_error(points: Array, truth: Array, distance: Array, valid: Array) -> float:
    """Mean over landmarks of |mean over the clip of e_t / distance|, e = points - truth turned so that the true face keeps its angle.

    What is left when all that changes from frame to frame averages out: comparing frames cannot show it. A landmark counts that is known in
    two frames and in half of those in which any is; NaN where none is, or fewer than two have a truth throughout.
    """
    known = valid & np.isfinite(points).all(-1) & np.isfinite(truth).all(-1) & np.isfinite(distance)[:, None]
    frames = known.any(1)
    known = known[frames]
    shapes, predicted = (np.asarray(values[frames], np.float64) for values in (truth, points))
    shapes, predicted = shapes[..., 0] + 1j * shapes[..., 1], predicted[..., 0] + 1j * predicted[..., 1]
    anchors = shapes[:, (valid[frames] & np.isfinite(shapes)).all(0)]
    counted = known.sum(0) >= max(2, len(known) / 2)
    if anchors.shape[1] < 2 or not counted.any():
        return float("nan")
    anchors = anchors - anchors.mean(1, keepdims=True)
    angle = np.angle((anchors[0].conj() * anchors).sum(1))
    errors = np.where(known, predicted - shapes, 0) * (np.exp(-1j * angle) / distance[frames])[:, None]
    return float(np.abs(errors[:, counted].sum(0) / known[:, counted].sum(0)).mean())


def lag_sums(points: Array, truth: Array, distance: Array, valid: Array) -> tuple[float, float]:
    """Numerator and denominator of the lag E1 of one clip, to be pooled over clips by `lag_e1`.

    E1 = sum <e_t, u_t> / sum |u_t|^2 with e = points - truth and u_t = g_{t-1} - g_t, both divided by the distance so that a large
    face weighs no more than a small one. The bias is removed: e and u have their mean over the clip taken off, per landmark and
    axis (the slope of a regression with an intercept): a constant offset is no lag, and a track late by one frame has exactly 1.
    """
    truth, residuals = _masked(truth, valid), _masked(points, valid) - _masked(truth, valid)
    if len(truth) < 3:
        return 0.0, 0.0
    scale = np.asarray(distance, np.float64)[1:, None, None]
    motion, late = -np.diff(truth, axis=0) / scale, residuals[1:] / scale
    known = np.isfinite(motion) & np.isfinite(late)
    count = np.maximum(known.sum(0), 1)
    motion, late = np.where(known, motion, 0.0), np.where(known, late, 0.0)
    motion = np.where(known, motion - motion.sum(0) / count, 0.0)
    late = np.where(known, late - late.sum(0) / count, 0.0)
    return float((late * motion).sum()), float((motion * motion).sum())


def lag_e1(sums: Sequence[tuple[float, float]]) -> float:
    """The pooled lag in frames (1 = one frame late) from the `lag_sums` of clips; NaN where nothing moves."""
    numerator, denominator = np.sum(np.asarray(sums, np.float64).reshape(-1, 2), axis=0)
    return float(numerator / denominator) if denominator > 0 else float("nan")


def calibration_error(confidence: Array, hit: Array, bins: int = 10) -> float:
    """Expected calibration error: how far the share of hits is from the mean confidence, over bins of equally many points; NaN for none.

    confidence, hit: (N,), a probability and whether it came true. Source: Naeini et al., AAAI 2015, with bins of equal mass.
    """
    order = np.argsort(confidence, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    if not parts:
        return float("nan")
    gaps = [abs(confidence[part].mean(dtype=np.float64) - hit[part].mean()) * len(part) for part in parts]
    return float(sum(gaps) / len(order))


def mean_over_frames(videos: Sequence[Array]) -> float:
    """Mean of the finite values of all videos together; NaN where there is none."""
    return _mean_finite(np.concatenate([np.ravel(values) for values in videos])) if len(videos) else float("nan")


def mean_over_videos(videos: Sequence[Array]) -> float:
    """Mean of the videos' own means over their finite values; videos without any are left out."""
    return _mean_finite(np.array([_mean_finite(values) for values in videos]))


def median(values: Array) -> float:
    """Median of the finite values; NaN where there is none."""
    finite = np.asarray(values)[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else float("nan")


def _masked(points: Array, valid: Array) -> Array:
    return np.where(valid[..., None], np.asarray(points, np.float64), np.nan)


def _second_differences(points: Array, valid: Array) -> Array:
    """|p_{t-1} - 2 p_t + p_{t+1}| (T, L) in pixels, NaN at both ends and where a point is missing in one of the three frames."""
    points = _masked(points, valid)
    lengths = np.full(points.shape[:2], np.nan)
    if len(points) > 2:
        difference = points[:-2] - 2 * points[1:-1] + points[2:]
        lengths[1:-1] = np.hypot(difference[..., 0], difference[..., 1])
    return lengths


def _mean_last(values: Array) -> Array:
    """Mean over the last axis without its NaN; NaN where there is nothing else."""
    known = ~np.isnan(values)
    count = known.sum(-1)
    total = np.where(known, values, 0.0).sum(-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _known(errors: Array) -> Array:
    errors = np.ravel(np.asarray(errors, np.float64))
    return errors[~np.isnan(errors)]


def _mean_finite(values: Array) -> float:
    values = np.asarray(values, np.float64)
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else float("nan")
