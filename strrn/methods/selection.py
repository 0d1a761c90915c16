"""Algorithm 1 of STRRN: which frames become pseudo-labels, and whom they teach. Pure numpy, on tracks that were already run."""

from dataclasses import dataclass
from enum import Enum

import numpy as np

FOLLOWED = "failed the check, followed by its neighbours"  # the reason of a frame that is kept all the same


class Selection(Enum):
    """co_training: the better of detection and track teaches the other. literal: as Algorithm 1 is printed, every kept frame also
    teaches the detector. consensus (not in the paper): the mean of detection and track of every kept frame teaches both. trajectory (not in
    the paper): likewise, and frames that failed the check teach both with what their neighbours in time say (`strrn.methods.trajectory`)."""

    co_training = "co_training"
    literal = "literal"
    consensus = "consensus"
    trajectory = "trajectory"

    @property
    def teaches_both(self) -> bool:
        return self in (Selection.consensus, Selection.trajectory)


class Gate(Enum):
    """frame: a frame passes as a whole. landmark: every landmark passes for itself, the kept points carry a mask."""

    frame = "frame"
    landmark = "landmark"


class ThresholdKind(Enum):
    """absolute: normalised RMSE (the paper's T). quantile: that share of all frames' larger loss."""

    absolute = "absolute"
    quantile = "quantile"


@dataclass(frozen=True)
class CycleLosses:
    """Losses of N frames. l_det, l_tck: (N,) normalised RMSE of the frame; det_errors, tck_errors: (N, L) distance / d."""

    l_det: np.ndarray
    l_tck: np.ndarray
    det_errors: np.ndarray
    tck_errors: np.ndarray


@dataclass(frozen=True)
class Selected:
    """kept (N,) bool; teaches_detector, teaches_tracker (N,) bool; mask (N, L) bool: landmarks that passed; reasons: (N,) text, empty
    where kept; threshold: the T that was applied."""

    kept: np.ndarray
    teaches_detector: np.ndarray
    teaches_tracker: np.ndarray
    mask: np.ndarray
    reasons: np.ndarray
    threshold: float


def cycle_losses(start: np.ndarray, from_detection: np.ndarray, from_track: np.ndarray, distance: np.ndarray) -> CycleLosses:
    """Losses of the cycle check (Algorithm 1, line 12): rmse between where the backward steps end and where they should.

    start: p_det^{t-1}; from_detection: the backward step from p_det^t; from_track: the backward step from p_tck^t; (N, L, 2) each, in one
    space. distance: (N,) d of `start` in that space. Paper: squared norms compared with a "normalised RMSE 0.02". Here: normalised RMSE.
    """
    det_errors = np.linalg.norm(from_detection - start, axis=-1) / distance[:, None]
    tck_errors = np.linalg.norm(from_track - start, axis=-1) / distance[:, None]
    return CycleLosses(
        l_det=np.sqrt((det_errors**2).mean(1)),
        l_tck=np.sqrt((tck_errors**2).mean(1)),
        det_errors=det_errors,
        tck_errors=tck_errors,
    )


def select(
    losses: CycleLosses,
    repeats: np.ndarray,
    *,
    threshold: float,
    threshold_kind: ThresholdKind,
    selection: Selection,
    gate: Gate,
    min_landmarks: float,
) -> Selected:
    """Apply Algorithm 1, lines 14 to 19, to N frames.

    repeats: (N,) bool, frames whose pixels equal those of the frame before; they carry no information and are dropped.
    min_landmarks: with `gate = landmark`, the share of landmarks that must pass for the frame to be kept at all.
    Raises ValueError for a quantile outside (0, 1].
    """
    worst = np.maximum(losses.l_det, losses.l_tck)
    if threshold_kind is ThresholdKind.quantile:
        if not 0 < threshold <= 1:
            raise ValueError(f"a quantile threshold lies in (0, 1], found {threshold}")
        # The next float: the comparison below is strict, and the frame at the quantile itself belongs to the share.
        threshold = float(np.nextafter(np.quantile(worst[~repeats], threshold), np.inf)) if (~repeats).any() else 0.0
    if gate is Gate.frame:
        passed_det, passed_tck = losses.l_det < threshold, losses.l_tck < threshold
        mask = np.ones_like(losses.det_errors, bool)
    else:
        det_ok, tck_ok = losses.det_errors < threshold, losses.tck_errors < threshold
        mask = det_ok & tck_ok
        jointly = mask.mean(1) >= min_landmarks
        passed_det = jointly | (det_ok.mean(1) >= tck_ok.mean(1))
        passed_tck = jointly | (tck_ok.mean(1) >= det_ok.mean(1))
        # Where the joint share is too small, the loss with fewer passing landmarks is named as the reason, both where they are equal.
        tie = ~jointly & (det_ok.mean(1) == tck_ok.mean(1))
        passed_det, passed_tck = passed_det & ~tie, passed_tck & ~tie
    kept = passed_det & passed_tck & ~repeats
    reasons = np.full(len(kept), "", dtype=object)
    reasons[~passed_det & passed_tck] = "l_det"
    reasons[passed_det & ~passed_tck] = "l_tck"
    reasons[~passed_det & ~passed_tck] = "l_det and l_tck"
    reasons[repeats] = "repeats the frame before"
    detection_is_better = losses.l_tck > losses.l_det
    teaches_tracker = kept & (detection_is_better | selection.teaches_both)
    teaches_detector = kept & (~detection_is_better | (selection is not Selection.co_training))
    return Selected(kept, teaches_detector, teaches_tracker, mask & kept[:, None], reasons, float(threshold))
