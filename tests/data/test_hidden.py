"""Boxes in front of faces, and the landmarks behind them."""

import numpy as np
import pytest

from strrn.data.datasets import StillDataset, load_still_crops
from strrn.data.hidden import MARGIN, HiddenDataset, box_about, hide, random_box, within
from tests.models.small import SIZE
from tests.training.material import SCHEME, setting, write_stills

NAN = float("nan")


def test_a_box_hides_what_lies_in_it_and_nothing_else():
    image = np.full((40, 40, 3), 90, np.uint8)
    before = image.copy()
    hidden = hide(image, (10, 20, 19, 24), np.random.default_rng(0))
    changed = (hidden != before).any(-1)
    assert np.array_equal(image, before)
    assert changed[20:25, 10:20].mean() > 0.95
    changed[20:25, 10:20] = False
    assert not changed.any()


def test_in_a_reduced_picture_it_hides_the_same_part():
    hidden = hide(np.zeros((40, 40, 3), np.uint8), (20, 40, 39, 49), np.random.default_rng(3), stride=2)
    rows, columns = np.flatnonzero(hidden.any((1, 2))), np.flatnonzero(hidden.any((0, 2)))
    # Crop pixels 20..39 are pixels 9.75..19.25, 40..49 are 19.75..24.25.
    assert (columns[0], columns[-1], rows[0], rows[-1]) == (10, 19, 20, 24)


def test_a_box_that_leaves_the_picture_is_cut():
    hidden = hide(np.zeros((20, 20, 3), np.uint8), (-5, 15, 3, 30), np.random.default_rng(3))
    assert hidden[15:, :4].any(-1).mean() > 0.9 and not hidden[:15].any() and not hidden[:, 4:].any()


def test_which_landmarks_lie_in_a_box():
    points = np.array([[1, 1], [5, 5], [2, 9], [NAN, NAN]])
    assert within(points, (1, 1, 2, 9)).tolist() == [True, False, True, False]
    x0, y0, x1, y1 = box_about(points, 100)
    assert (x0, y0, x1, y1) == pytest.approx((1 - 100 * MARGIN, 1 - 100 * MARGIN, 5 + 100 * MARGIN, 9 + 100 * MARGIN))


def test_random_boxes_hide_some_landmarks_as_a_rule():
    points = np.random.default_rng(0).uniform(30, 90, (68, 2))
    counts = [within(points, random_box(points, 128, np.random.default_rng(seed))).sum() for seed in range(200)]
    assert np.mean(np.array(counts) > 0) > 0.9 and 3 < np.mean(counts) < 40


def test_every_second_sample_is_hidden_by_pixels_the_others_by_masks(tmp_path):
    write_stills(tmp_path)
    stills = StillDataset(load_still_crops(tmp_path / "stills_train.parquet", 68), SCHEME, 0, setting().augmentation, None, 2)
    samples = HiddenDataset(stills)
    painted = 0
    for epoch in range(8):
        for index in range(len(samples)):
            plain, found = stills[(epoch, index)], samples[(epoch, index)]
            same = bool((plain["images"] == found["images"]).all())
            assert found["images"].shape == (SIZE // 2, SIZE // 2, 3) and found["points"].equal(plain["points"])
            assert found["masked"].equal(found["hidden"] if same else found["hidden"] & False)
            painted += not same
    assert 20 <= painted <= 44  # of 64
    assert samples[(0, 1)]["images"].equal(samples[(0, 1)]["images"])
