"""Algorithm 1 on hand-made tracks with known answers: four landmarks on a square of side 10, d = 10."""

import numpy as np
import pytest

from strrn.methods.selection import CycleLosses, Gate, Selection, ThresholdKind, cycle_losses, select

SQUARE = np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 10.0], [0.0, 10.0]])


def shifted(*offsets: float) -> np.ndarray:
    """One frame for every offset: the square moved by that many pixels along x."""
    return np.stack([SQUARE + np.array([offset, 0.0]) for offset in offsets])


def losses(det: list[float], tck: list[float]) -> CycleLosses:
    start = shifted(*[0.0] * len(det))
    return cycle_losses(start, shifted(*det), shifted(*tck), np.full(len(det), 10.0))


def choose(cycle: CycleLosses, repeats: list[bool] | None = None, **changes):
    settings = {
        "threshold": 0.02,
        "threshold_kind": ThresholdKind.absolute,
        "selection": Selection.co_training,
        "gate": Gate.frame,
        "min_landmarks": 0.5,
    }
    return select(cycle, np.array(repeats or [False] * len(cycle.l_det)), **{**settings, **changes})


def test_losses_are_normalised_rmse():
    # Two of four landmarks off by 3 and 4 px: sqrt((9 + 16) / 4) / 10 = 0.25; the plain mean would be 0.175.
    moved = shifted(0.0)
    moved[0, 0] += (3.0, 0.0)
    moved[0, 1] += (0.0, 4.0)
    cycle = cycle_losses(shifted(0.0), moved, shifted(0.1), np.array([10.0]))
    assert cycle.l_det[0] == pytest.approx(0.25)
    assert cycle.l_tck[0] == pytest.approx(0.01)


def test_the_better_one_teaches_the_other():
    # Frame 0: track better (0.005 < 0.010) -> teaches the detector. Frame 1: detection better -> teaches the tracker.
    # Frame 2: L_det fails. Frame 3: L_tck fails. Frame 4: both fail.
    chosen = choose(losses([0.10, 0.05, 0.30, 0.10, 0.40], [0.05, 0.10, 0.10, 0.30, 0.40]))
    assert chosen.teaches_detector.tolist() == [True, False, False, False, False]
    assert chosen.teaches_tracker.tolist() == [False, True, False, False, False]
    assert chosen.reasons.tolist() == ["", "", "l_det", "l_tck", "l_det and l_tck"]


def test_the_literal_reading_teaches_the_detector_with_every_kept_frame():
    chosen = choose(losses([0.10, 0.05, 0.30], [0.05, 0.10, 0.10]), selection=Selection.literal)
    assert chosen.teaches_detector.tolist() == [True, True, False]
    assert chosen.teaches_tracker.tolist() == [False, True, False]


def test_the_consensus_of_every_kept_frame_teaches_both():
    chosen = choose(losses([0.10, 0.05, 0.30], [0.05, 0.10, 0.10]), selection=Selection.consensus)
    assert chosen.teaches_detector.tolist() == chosen.teaches_tracker.tolist() == [True, True, False]


def test_a_perfect_cycle_keeps_all_frames():
    chosen = choose(losses([0.0] * 5, [0.0] * 5))
    assert chosen.kept.all()
    assert chosen.teaches_detector.all()  # equal losses: the track is not worse
    assert chosen.mask.all()


def test_the_threshold_itself_is_not_below_the_threshold():
    # 1.25 / 10 = 0.125 has no rounding.
    chosen = choose(losses([1.25, 1.24], [0.1, 0.1]), threshold=0.125)
    assert chosen.kept.tolist() == [False, True]


def test_frames_that_repeat_the_one_before_are_dropped_for_that_reason_alone():
    chosen = choose(losses([0.0, 0.0], [0.0, 0.0]), repeats=[True, False])
    assert chosen.kept.tolist() == [False, True]
    assert chosen.reasons.tolist() == ["repeats the frame before", ""]


def test_a_quantile_keeps_that_share_of_frames():
    values = [0.1 * i for i in range(1, 11)]
    chosen = choose(losses(values, [0.0] * 10), threshold=0.5, threshold_kind=ThresholdKind.quantile)
    assert chosen.kept.sum() == 5
    assert choose(losses(values, [0.0] * 10), threshold=1.0, threshold_kind=ThresholdKind.quantile).kept.all()
    with pytest.raises(ValueError, match=r"\(0, 1\], found 1.5"):
        choose(losses(values, [0.0] * 10), threshold=1.5, threshold_kind=ThresholdKind.quantile)


def test_the_gate_of_landmarks_keeps_the_frame_without_its_hidden_point():
    detection, track = shifted(0.05), shifted(0.1)
    detection[0, 2] += (5.0, 0.0)  # one landmark fails: its rmse alone, 5 / sqrt(4) / 10, vetoes the whole frame
    cycle = cycle_losses(shifted(0.0), detection, track, np.array([10.0]))
    assert not choose(cycle).kept[0]
    chosen = choose(cycle, gate=Gate.landmark)
    assert chosen.kept[0]
    assert chosen.mask[0].tolist() == [True, True, False, True]
    assert choose(cycle, gate=Gate.landmark, min_landmarks=0.9).reasons.tolist() == ["l_det"]


def test_every_dropped_frame_has_a_reason_and_no_kept_one_has():
    random = np.random.default_rng(0)
    cycle = losses(list(random.uniform(0, 0.4, 50)), list(random.uniform(0, 0.4, 50)))
    for gate in Gate:
        chosen = choose(cycle, repeats=list(random.random(50) < 0.2), gate=gate)
        assert ((chosen.reasons == "") == chosen.kept).all()
        assert not chosen.mask[~chosen.kept].any()
