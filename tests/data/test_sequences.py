import cv2
import numpy as np
import pytest

from strrn.data.sequences import SequenceParameters, paths, synthetic_video

CALM = SequenceParameters(
    speed=0.0, turn=0.0, zoom=0.0, deform=0.0, light=0.0, blur=0.0, shutter=0.0, noise=0.0, quality=[100, 100], occlusion=0.0
)
SIZE = 200
DOTS = np.array([[60, 70], [140, 75], [100, 105], [75, 140], [125, 142]], np.float32)


def dotted() -> np.ndarray:
    image = np.full((SIZE, SIZE, 3), 60, np.uint8)
    for x, y in DOTS.astype(int).tolist():
        cv2.circle(image, (x, y), 6, (250, 250, 250), -1, cv2.LINE_AA)
    return image


def video(parameters: SequenceParameters, seed: int = 0, points: np.ndarray = DOTS) -> list[tuple[np.ndarray, np.ndarray]]:
    return list(synthetic_video(dotted(), points, 12, parameters, np.random.default_rng(seed)))


def centres(frame: np.ndarray, around: np.ndarray) -> np.ndarray:
    """The centre of mass of what is bright near each point."""
    found = []
    for x, y in np.round(around).astype(int):
        part = np.maximum(frame[y - 14 : y + 15, x - 14 : x + 15].mean(2) - 120, 0)
        rows, columns = np.mgrid[-14:15, -14:15]
        found.append([x + (part * columns).sum() / part.sum(), y + (part * rows).sum() / part.sum()])
    return np.array(found)


def test_a_calm_video_is_the_still():
    for frame, points in video(CALM):
        np.testing.assert_allclose(points, DOTS, atol=1e-3)
        assert np.abs(frame.astype(int) - dotted()).max() <= 3  # JPEG


@pytest.mark.parametrize(
    "change", [{"speed": 0.04}, {"turn": 3.0}, {"zoom": 0.03}, {"deform": 0.03}, {"speed": 0.03, "turn": 2.0, "deform": 0.03}]
)
def test_the_truth_goes_with_the_picture(change):
    moved = 0.0
    for seed in range(4):
        for frame, points in video(SequenceParameters(**(vars(CALM) | change)), seed):
            assert np.abs(centres(frame, points) - points).max() < 0.6
            moved = max(moved, np.abs(points - DOTS).max())
    assert moved > 2


def test_points_without_truth_stay_without():
    unknown = DOTS.copy()
    unknown[2] = np.nan
    for _, points in video(SequenceParameters(**(vars(CALM) | {"speed": 0.05})), points=unknown):
        assert np.isnan(points[2]).all() and np.isfinite(np.delete(points, 2, 0)).all()


def test_paths_are_smooth_and_keep_their_speed():
    path = paths(np.random.default_rng(1), 400, np.array([2.0, 0.0]))
    assert 1.0 < np.abs(np.diff(path[:, 0])).max() <= 2.0 and not path[:, 1].any()
    assert np.abs(np.diff(path[:, 0], 2)).max() < 1.5  # no jump between stretches


def test_the_same_seed_gives_the_same_video():
    loud = SequenceParameters(**(vars(CALM) | {"speed": 0.03, "noise": 8.0, "light": 0.2, "blur": 2.0, "shutter": 0.8, "occlusion": 1.0}))
    first, again, other = video(loud), video(loud), video(loud, seed=1)
    assert all((a == b).all() and (p == q).all() for (a, p), (b, q) in zip(first, again, strict=True))
    assert any((a != b).any() for (a, _), (b, _) in zip(first, other, strict=True))


def test_a_quality_that_is_none():
    with pytest.raises(ValueError, match="quality"):
        SequenceParameters(**(vars(CALM) | {"quality": [80, 20]}))
