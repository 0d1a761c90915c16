import numpy as np
import pytest

from strrn.core.face_detection import FaceDetection
from strrn.core.geometry import CropTransform
from strrn.core.images import decode_image
from strrn.data.crops import CropParameters, crop_still, face_template, five_points_in_crop
from strrn.data.face_tracks import TrackParameters

SIZE = 64
REFERENCE = np.array([[12, 20], [50, 20], [31, 40], [31, 52]], np.float32)
TRACK = TrackParameters(detect_every=3, link_iou=0.3, max_gap=6, cut_difference=40.0, repeat_difference=0.02, smoothing=1.0)


def parameters(**changes):
    values = {
        "size": SIZE,
        "fill": 0.62,
        "jpeg_quality": 95,
        "calibration_stills": 10,
        "min_calibrated": 0.5,
        "min_valid": 0.5,
        "track": TRACK,
        "min_track_frames": 4,
        "max_enlargement": 4.0,
        "max_frames_per_clip": 100,
        "max_unreadable": 0,
        "folders": [],
        "workers": 1,
    }
    return CropParameters(**{**values, **changes})


def dotted(points):
    """A grey picture with a white blob at each point."""
    x, y = np.meshgrid(np.arange(200), np.arange(160))
    grey = sum(np.exp(-((x - px) ** 2 + (y - py) ** 2) / 18) for px, py in points)
    return np.repeat((40 + 200 * np.clip(grey, 0, 1)).astype(np.uint8)[..., None], 3, 2)


PLACED = CropTransform(0.9, 0.25, -30.0, -20.0, SIZE)  # frame -> crop


def test_a_still_is_cropped_by_its_truth():
    points = PLACED.to_frame(REFERENCE)
    content, points_crop = crop_still(dotted(points), points, np.ones(4, bool), REFERENCE, parameters())
    np.testing.assert_allclose(points_crop, REFERENCE, atol=1e-3)
    crop = decode_image(content, "crop").astype(float)[..., 0]
    assert crop.shape == (SIZE, SIZE)
    for x, y in REFERENCE.astype(int):
        window = np.clip(crop[y - 4 : y + 5, x - 4 : x + 5] - 60, 0, None)
        grid = np.arange(-4, 5)
        assert abs((window.sum(0) * grid).sum() / window.sum()) < 0.15  # half a pixel off would show
        assert abs((window.sum(1) * grid).sum() / window.sum()) < 0.15


def test_unlabelled_points_stay_unlabelled():
    points = PLACED.to_frame(REFERENCE)
    points[1] = np.nan
    valid = np.array([True, False, True, True])
    _, points_crop = crop_still(dotted(points[valid]), points, valid, REFERENCE, parameters())
    np.testing.assert_array_equal(np.isfinite(points_crop).all(1), valid)
    np.testing.assert_allclose(points_crop[valid], REFERENCE[valid], atol=1e-3)


def test_a_still_with_too_few_labels_is_rejected_with_the_reason():
    reason = crop_still(np.zeros((9, 9, 3), np.uint8), REFERENCE, np.array([True, False, False, False]), REFERENCE, parameters())
    assert reason == "1 of 4 landmarks labelled"


def test_the_detector_s_points_are_mapped_by_the_truth_s_transform():
    points = PLACED.to_frame(REFERENCE)
    five = np.array([[20, 22], [42, 22], [31, 36], [24, 46], [38, 46]], np.float32)
    low, high = points.min(0), points.max(0)
    face = FaceDetection(np.concatenate([low, high]), PLACED.to_frame(five), 0.99)
    elsewhere = FaceDetection(np.array([0, 0, 5, 5], np.float32), np.zeros((5, 2), np.float32), 0.999)
    image = dotted(points)
    np.testing.assert_allclose(five_points_in_crop(image, points, REFERENCE, SIZE, lambda _: [elsewhere, face]), five, atol=1e-3)
    assert five_points_in_crop(image, points, REFERENCE, SIZE, lambda _: [elsewhere]) is None
    assert five_points_in_crop(image, points, REFERENCE, SIZE, lambda _: []) is None
    # Landmarks without a contour fill a small part of the face's box.
    large = FaceDetection(np.concatenate([low - (high - low), high + (high - low)]), PLACED.to_frame(five), 0.99)
    np.testing.assert_allclose(five_points_in_crop(image, points, REFERENCE, SIZE, lambda _: [elsewhere, large]), five, atol=1e-3)


def test_the_template_is_the_median_and_needs_enough_faces():
    points = [np.full((5, 2), value, np.float32) for value in (1, 2, 90)]
    np.testing.assert_array_equal(face_template([*points, None], 0.5), np.full((5, 2), 2))
    with pytest.raises(ValueError, match=r"found the labelled face on 1 of 4 stills, at least 50% are needed"):
        face_template([points[0], None, None, None], 0.5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fill": 0.0}, "fill must lie above 0"),
        ({"jpeg_quality": 101}, "jpeg_quality"),
        ({"size": 8}, "size must be at least 16, found 8"),
        ({"min_track_frames": 1}, "min_track_frames"),
        ({"max_enlargement": 0.0}, "max_enlargement"),
    ],
)
def test_parameters_out_of_range_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        parameters(**changes)
