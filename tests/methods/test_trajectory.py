"""Points from both sides of time: a face that moves, turns and speaks, behind something for a while."""

import numpy as np
import pytest

from strrn.core.geometry import fit_similarities, similar
from strrn.methods.trajectory import TrajectoryParameters, follow, local_quadratic, to_shape
from tests.models.small import reference_shape

PARAMETERS = TrajectoryParameters(shape_frames=2.0, motion_frames=2.0, deviation=0.05, min_support=0.3)
FRAMES, HIDDEN = np.arange(30), slice(12, 19)
DISTANCE = 30.0
SHAPE = reference_shape() - reference_shape().mean(0)
SHAPE *= DISTANCE / np.linalg.norm(SHAPE[36:42].mean(0) - SHAPE[42:48].mean(0))


def moving_face() -> np.ndarray:
    """(T, 68, 2)"""
    time = FRAMES / 8
    shapes = np.repeat(SHAPE[None], len(FRAMES), 0)
    shapes[:, 48:, 1] += (1.5 * np.sin(time))[:, None]  # the mouth opens
    angle, scale = 0.2 * np.sin(time), 1 + 0.1 * np.cos(time)
    places = np.stack([scale * np.cos(angle), scale * np.sin(angle), 100 + 60 * np.sin(time), 80 + 10 * time**2], 1)
    return similar(shapes, places)


def errors(points: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(T,) mean distance in units of d."""
    return np.linalg.norm(points - truth, axis=-1).mean(1) / DISTANCE


def seen_of(truth: np.ndarray, hidden: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Noisy points, in some frames wrong in the lower half of the face; expected errors that know nothing; frames that passed."""
    random = np.random.default_rng(0)
    seen = truth + random.normal(0, 0.01 * DISTANCE, truth.shape)
    seen[hidden, 48:] += 0.4 * DISTANCE * random.normal(0, 1, (1, 1, 2)) + random.normal(0, 0.1 * DISTANCE, seen[hidden, 48:].shape)
    seen[hidden, :17] += 0.3 * DISTANCE
    trusted = np.ones(len(truth), bool)
    trusted[hidden] = False
    return seen, np.full(truth.shape[:2], 0.02), trusted


def test_hidden_points_are_where_their_neighbours_in_time_say():
    truth = moving_face()
    seen, expected, trusted = seen_of(truth, HIDDEN)
    points, support = follow(seen, expected, trusted, FRAMES, DISTANCE, PARAMETERS)
    before, after = errors(seen, truth), errors(points, truth)
    assert before[HIDDEN].mean() > 0.15 and after[HIDDEN].mean() < 0.3 * before[HIDDEN].mean()
    assert after[~trusted].max() < 0.1 and after[trusted].mean() < 1.1 * before[trusted].mean()
    assert support[trusted].min() > 0.8 > 0.7 > support[HIDDEN].max()


def test_a_frame_alone_stays_as_it_was_seen():
    seen = moving_face()[:1]
    points, support = follow(seen, np.full((1, 68), 0.02), np.array([False]), FRAMES[:1], DISTANCE, PARAMETERS)
    np.testing.assert_allclose(points, seen, atol=1e-6)
    assert support[0] == pytest.approx(1)


def test_frames_far_away_do_not_matter():
    truth = moving_face()
    seen, expected, trusted = seen_of(truth, HIDDEN)
    near, _ = follow(seen, expected, trusted, FRAMES, DISTANCE, PARAMETERS)
    both = np.concatenate([seen, truth[:5] + 500])
    later = np.concatenate([FRAMES, FRAMES[-1] + 100 + np.arange(5)])
    far, _ = follow(both, np.full(both.shape[:2], 0.02), np.concatenate([trusted, [True] * 5]), later, DISTANCE, PARAMETERS)
    np.testing.assert_allclose(far[: len(seen)], near, atol=0.05)


def test_places_are_found_and_undone():
    places = np.array([[1.2, 0.3, 5.0, -7.0], [0.8, -0.1, 100.0, 3.0]])
    shapes = np.stack([SHAPE, SHAPE * [1, 0.9]])
    points = similar(shapes, places)
    np.testing.assert_allclose(fit_similarities(shapes, points, np.random.default_rng(0).random((2, 68)) + 0.1), places, atol=1e-9)
    np.testing.assert_allclose(to_shape(points, places), shapes, atol=1e-9)
    # By hand: a quarter turn takes x to y.
    np.testing.assert_allclose(similar(np.array([[[1.0, 0.0]]]), np.array([[0.0, 1.0, 2.0, 3.0]])), [[[2.0, 4.0]]])


def test_a_parabola_is_its_own_local_quadratic():
    time = np.arange(9.0)
    values = np.stack([time**2 - 3 * time, 2 * time + 1], 1)
    apart = time[:, None] - time[None]
    weights = np.exp(-0.5 * (apart / 2) ** 2)
    weights[:, 4] = 0.0  # what is not seen is filled in
    spoiled = values.copy()
    spoiled[4] = 1000
    np.testing.assert_allclose(local_quadratic(spoiled, apart, weights)[4], values[4], atol=1e-2)


@pytest.mark.parametrize("changes", [{"shape_frames": 0}, {"deviation": -1.0}, {"min_support": 1.5}])
def test_impossible_parameters_are_refused(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        TrajectoryParameters(**{"shape_frames": 2.0, "motion_frames": 2.0, "deviation": 0.05, "min_support": 0.3, **changes})
