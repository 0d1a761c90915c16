"""Labels that are put away, and views for a student: what is drawn into a frame is found where the view's matrix says."""

import cv2
import numpy as np
import pytest
import torch

from strrn.core.geometry import CropTransform
from strrn.core.images import decode_image
from strrn.core.landmarks import load_scheme
from strrn.data.datasets import LabelledCrops, Track
from strrn.data.unlabelled import Frame, FrameDataset, seen_from, split_labels, unlabelled_frames
from strrn.methods.consistency import from_mirrored, to_view
from tests.data.test_augmentation import centroid, dots, parameters
from tests.training.material import track

SCHEME = load_scheme("ibug68")
GRID = np.stack(np.meshgrid(np.linspace(40, 118, 9), np.linspace(40, 118, 8)), -1).reshape(-1, 2)[:68].astype(np.float32)
MIRROR = torch.tensor(SCHEME.mirror)


def encoded(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image[..., ::-1])[1].tobytes()


def crops(count: int) -> LabelledCrops:
    return LabelledCrops([bytes([i]) for i in range(count)], np.arange(count * 136).reshape(count, 68, 2), np.ones((count, 68), bool))


def test_labels_are_put_away_by_seed_and_shares_are_nested():
    kept, others = split_labels(crops(40), 0.25, 3)
    assert len(kept) == 10 and len(others) == 30 and set(kept.images) | set(others) == {bytes([i]) for i in range(40)}
    assert all(points[0, 0] == image[0] * 136 for image, points in zip(kept.images, kept.points, strict=True))
    assert split_labels(crops(40), 0.25, 3)[0].images == kept.images != split_labels(crops(40), 0.25, 4)[0].images
    assert set(split_labels(crops(40), 0.1, 3)[0].images) < set(kept.images)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 1.5, 0.001, 0.999])
def test_a_share_that_leaves_nothing_on_one_side_is_refused(share):
    with pytest.raises(ValueError, match=rf"tsal.labels .*{share}"):
        split_labels(crops(40), share, 0)


def test_frames_have_the_frame_before_where_there_is_one():
    one = track(5, repeats=2)
    gap = Track(one.track_id, one.clip_id, np.array([10, 11, 12, 20, 21]), one.images, one.transforms, one.repeats)
    frames = unlabelled_frames([b"still"], [gap])
    # The still; frame 10, the first; 11 after 10; 12 repeats 11; 20 after a gap; 21 after 20.
    assert [frame.before for frame in frames] == [None, None, one.images[0], None, one.images[3]]
    assert [frame.image for frame in frames[1:]] == [one.images[i] for i in (0, 1, 3, 4)]
    # Its crops move by half a pixel to the left from frame to frame: a pixel of this one lies half a pixel to the right in the one before.
    np.testing.assert_allclose(frames[2].to_before, [[1, 0, 0.5], [0, 1, 0]], atol=1e-4)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("stride", [1, 2])
def test_points_stay_on_their_pixels_in_the_students_view(flip, stride):
    settings = parameters(rotation=10.0, scale=0.05, shift=0.02, flip=flip)
    dataset = FrameDataset([Frame(encoded(dots(GRID)))], 0, settings, stride)
    seen = {False: 0, True: 0}
    for epoch in range(8):
        sample = dataset[(epoch, 0)]
        seen[bool(sample["mirrored"])] += 1
        points = to_view(torch.from_numpy(GRID)[None], sample["matrix"][None], sample["mirrored"][None], MIRROR)[0].numpy()
        inside = ((points > 12) & (points < 147)).all(1)
        assert inside.sum() > 20
        for point in points[inside]:
            found = centroid(sample["view"].numpy(), (point - (stride - 1) / 2) / stride, 4 // stride) * stride + (stride - 1) / 2
            np.testing.assert_allclose(found, point, atol=0.25 * stride)
    assert (seen[True] > 0) == flip and seen[False] > 0


@pytest.mark.parametrize("stride", [1, 2])
def test_points_found_in_the_mirror_image_lie_where_they_were(stride):
    image = FrameDataset([Frame(encoded(dots(GRID, 161)))], 0, parameters(), stride)[(0, 0)]["images"].numpy()
    mirrored = image[:, ::-1]
    middle = (stride - 1) / 2
    # Of the mirrored picture, the dot of every landmark's partner, which is what a detector should call by the landmark's name.
    shown = np.stack([image.shape[1] * stride - 1 - GRID[:, 0], GRID[:, 1]], -1)[list(SCHEME.mirror)]
    found = np.stack([centroid(mirrored, (point - middle) / stride, 4 // stride) * stride + middle for point in shown])
    back = from_mirrored(torch.from_numpy(found)[None], image.shape[1] * stride, MIRROR)[0].numpy()
    np.testing.assert_allclose(back, GRID, atol=0.25 * stride)


@pytest.mark.parametrize("stride", [1, 2])
def test_the_frame_before_is_shown_as_the_frames_own_crop_shows_it(stride):
    # A face that stands still in the frame, seen by two crops.
    here, there = CropTransform(1.05, 0.02, -6.0, 3.0, 160), CropTransform(0.98, -0.03, 4.0, -2.0, 160)
    crop = [encoded(dots(transform.to_crop(GRID))) for transform in (there, here)]
    one = Track("a", "a", np.array([0, 1]), crop, [there, here], np.zeros(2, bool))
    sample = FrameDataset(unlabelled_frames([], [one]), 0, parameters(), stride)[(0, 1)]
    assert sample["moves"] and not FrameDataset(unlabelled_frames([], [one]), 0, parameters())[(0, 0)]["moves"]
    for point in here.to_crop(GRID):
        found = centroid(sample["before"].numpy(), (point - (stride - 1) / 2) / stride, 4 // stride) * stride + (stride - 1) / 2
        np.testing.assert_allclose(found, point, atol=0.25 * stride)


def test_a_still_is_its_own_frame_before():
    sample = FrameDataset([Frame(encoded(dots(GRID)))], 0, parameters())[(0, 0)]
    assert torch.equal(sample["before"], sample["images"]) and not sample["moves"]


def test_a_picture_seen_from_itself_is_itself():
    image = decode_image(encoded(dots(GRID)))
    assert np.array_equal(seen_from(image, np.eye(2, 3), 2), image)
