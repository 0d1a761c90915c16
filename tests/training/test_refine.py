"""Training of BRF's head over a backbone that finds a bright square, with noise of its own."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from strrn.core.geometry import fit_similarity
from strrn.training import refine
from strrn.training.loop import LoopParameters, Schedule
from strrn.training.reference import Reference
from strrn.training.refine import JitterParameters, Recording
from tests.runtime import tiny

SIZE = tiny.SIZE
REFERENCE = Reference(SIZE, tiny.REFERENCE, tiny.REFERENCE, float(tiny.SCHEME.distance(tiny.REFERENCE)))
LOOP = LoopParameters(
    batch_size=6, num_batches=25, learning_rate=0.01, schedule=Schedule.cosine, weight_decay=0.0, max_epochs=3, patience=1, tolerance=0.0,
    drop=3.0, num_drops=1, average=0.0, workers=1, threads=1,
)  # fmt: skip


def noisy_look(noise: float, seed: int = 0):
    """The square's five points with noise of every frame; crops come at half their size."""
    random = np.random.default_rng(seed)

    def look(crops):
        points = []
        for crop in crops:
            rows, columns = np.nonzero(crop.mean(2) > 128)
            middle = 2 * np.array([columns.mean(), rows.mean()]) + 0.5
            points.append(tiny.REFERENCE - tiny.REFERENCE.mean(0) + middle + random.normal(0, noise, (5, 2)))
        return np.stack(points).astype(np.float32), np.full((len(crops), 5), 0.6, np.float32), None

    return look


def video(frames: int = 12):
    return [(tiny.picture(number, True), tiny.truth(number).astype(np.float32)) for number in range(frames)]


def recorded(noise: float, count: int = 4) -> list[Recording]:
    return refine.record([video()] * count, noisy_look(noise), 2, REFERENCE, np.random.default_rng(0))


def test_a_recording_holds_what_the_loop_would_see():
    """Truth, points, flow and change of crop by hand, from the transforms that a loop without noise has."""
    (recording,) = recorded(0.0, 1)
    assert len(recording) == 12 and recording.patches is None
    np.testing.assert_allclose(recording.points, recording.truth, atol=1.1)
    for t in range(2, 12):
        now, before = (fit_similarity(tiny.truth(number), tiny.REFERENCE, SIZE) for number in (t - 1, t - 2))
        np.testing.assert_allclose(recording.truth[t], now.to_crop(tiny.truth(t)), atol=2.0)
        matrix = recording.matrix[t]
        there = before.to_crop(tiny.truth(t - 1))
        np.testing.assert_allclose(there @ matrix[:, :2].T + matrix[:, 2], now.to_crop(tiny.truth(t - 1)), atol=2.0)
    # The corners of the square move by (3, 1) pixels of the frame, the nose in its middle sees nothing.
    motion = recording.truth[3, 0] - (recording.truth[2, 0] @ recording.matrix[3, :, :2].T + recording.matrix[3, :, 2])
    np.testing.assert_allclose(motion, [6, 2], atol=0.2)


def test_mirrored_twice_is_the_same_and_motion_stays_motion():
    (recording,) = recorded(1.0, 1)
    once = recording.mirrored(SIZE, tiny.SCHEME.mirror)
    twice = once.mirrored(SIZE, tiny.SCHEME.mirror)
    for name in ("points", "truth", "confidence", "flow", "flow_error", "matrix"):
        np.testing.assert_allclose(getattr(twice, name), getattr(recording, name), atol=1e-3)
    base, other = (refine.sequence_errors(None, [one]) for one in (recording, once))
    np.testing.assert_allclose(base, other, rtol=1e-4)


def test_patches_are_mirrored_with_their_landmarks():
    (recording,) = recorded(0.0, 1)
    patches = np.random.default_rng(0).uniform(size=(12, 5, 3, 3)).astype(np.float16)
    values = {name: getattr(recording, name) for name in ("points", "truth", "confidence", "flow", "flow_error", "matrix")}
    turned = Recording(**values, patches=patches).mirrored(SIZE, tiny.SCHEME.mirror).patches
    np.testing.assert_array_equal(turned[:, 0], patches[:, 1, :, ::-1])


def test_the_errors_of_a_backbone_by_hand():
    """Constant truth, an error of 3 px in every second frame."""
    truth = np.tile(tiny.REFERENCE, (6, 1, 1))
    points = truth.copy()
    points[1::2, :, 0] += 3
    still = np.tile(np.array([[1, 0, 0], [0, 1, 0]], np.float32), (6, 1, 1))
    zeros = np.zeros((6, 5), np.float32)
    recording = Recording(points, truth, zeros + 0.5, np.zeros_like(points), zeros, still, None)
    assert refine.sequence_errors(None, [recording]) == pytest.approx((9 / 5, 3.0))
    limit = 3 / refine.LOST
    assert refine.usable(recording, 1.1 * limit) and not refine.usable(recording, 0.9 * limit)


def test_the_head_learns_to_calm_a_noisy_backbone():
    training, held_out = recorded(3.0, 6), refine.record([video()], noisy_look(3.0, seed=9), 2, REFERENCE, np.random.default_rng(1))
    model = tiny.small_head(trained=False).train()
    setting = SimpleNamespace(reference=REFERENCE, scheme=tiny.SCHEME)
    base = refine.sequence_errors(None, held_out)
    refine.train_refiner(model, training, [1.0] * 6, held_out, 8, setting, JitterParameters(1.0, 0.1, 4), LOOP, seed=0)
    error, jitter = refine.sequence_errors(model, held_out)
    assert jitter < 0.6 * base[1] and error < 0.9 * base[0]


def test_back_propagation_is_truncated():
    """With truncation after every frame the first frame's points get no gradient from the third's error."""
    batch = refine.batch_of(recorded(1.0, 1))
    model = tiny.small_head(trained=True)
    for truncate, reaches in ((None, True), (1, False)):
        points = batch["points"].clone().requires_grad_()
        steps = refine.unroll(model, batch | {"points": points}, truncate)
        refined = [next(steps)[1] for _ in range(3)][-1]
        (gradient,) = torch.autograd.grad(refined.sum(), points)
        assert bool(gradient[:, 1].abs().max() > 0) == reaches


def test_recordings_that_are_too_short():
    with pytest.raises(ValueError, match=r"no recording has 50 frames: lower refine\.data\.frames"):
        refine.RecordingBatches(recorded(0.0, 1), [1.0], 50, SIZE, tiny.SCHEME.mirror, LOOP, 0)
