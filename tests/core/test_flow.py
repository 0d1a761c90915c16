import cv2
import numpy as np

from strrn.core.flow import crop_flow, grey_view, point_flow
from strrn.core.geometry import CropTransform


def texture(seed: int = 0) -> np.ndarray:
    """A picture with something to see everywhere, smooth enough to be moved by parts of a pixel."""
    noise = np.random.default_rng(seed).uniform(0, 255, (120, 160, 3)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 2.5)
    return ((soft - soft.min()) / np.ptp(soft) * 255).astype(np.uint8)


POINTS = np.array([[50, 40], [80, 60], [110, 50.5], [70.25, 80]], np.float32)


def test_a_picture_that_is_moved():
    grey = cv2.cvtColor(texture(), cv2.COLOR_RGB2GRAY)
    after = cv2.warpAffine(grey, np.array([[1, 0, 3.25], [0, 1, -2.5]]), (160, 120), flags=cv2.INTER_CUBIC)
    moved, error = point_flow(grey, after, POINTS, POINTS)
    np.testing.assert_allclose(moved - POINTS, np.tile([3.25, -2.5], (4, 1)), atol=0.1)
    assert error.max() < 0.1


def test_a_point_that_is_covered_has_a_large_error():
    grey = cv2.cvtColor(texture(), cv2.COLOR_RGB2GRAY)
    after = grey.copy()
    after[20:60, 30:70] = cv2.cvtColor(texture(1), cv2.COLOR_RGB2GRAY)[20:60, 30:70]
    _, error = point_flow(grey, after, POINTS, POINTS)
    assert error[0] > 1 and error[1:].max() < 0.1


def test_crops_of_different_size_and_angle():
    """The frame moves by (2, -1); the first crop is cut upright, the second turned and enlarged. What is measured is the motion alone."""
    frame = texture()
    after = cv2.warpAffine(frame, np.array([[1.0, 0, 2], [0, 1, -1]]), (160, 120))
    upright = CropTransform(2.0, 0.0, -60.0, -20.0, 240)
    turned = CropTransform(2.1 * np.cos(0.03), 2.1 * np.sin(0.03), -66.0, -26.0, 240)
    flow, error = crop_flow(grey_view(frame, upright), grey_view(after, turned), POINTS)
    expected = turned.to_crop(POINTS + (2, -1)) - turned.to_crop(POINTS)
    np.testing.assert_allclose(flow, expected, atol=0.6)
    assert error.max() < 1.0
