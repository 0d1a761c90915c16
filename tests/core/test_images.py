import cv2
import numpy as np
import pytest

from strrn.core.images import decode_image, draw_points, encode_jpeg

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def test_pictures_survive_encoding_and_bad_ones_are_named():
    image = np.full((120, 160, 3), (200, 120, 40), np.uint8)
    assert np.abs(decode_image(encode_jpeg(image, 95), "x").astype(int) - image).mean() < 2
    stored = cv2.imdecode(np.frombuffer(encode_jpeg(image, 95), np.uint8), cv2.IMREAD_COLOR)
    assert stored[80, 100].argmin() == 0  # OpenCV reads blue first
    for content in (b"", b"no picture"):
        with pytest.raises(ValueError, match=r"picture still_7 \(\d+ bytes\) cannot be decoded"):
            decode_image(content, "still_7")


def test_points_are_drawn_where_they_are():
    image = np.zeros((120, 160, 3), np.uint8)
    points = np.full((3, 2), np.nan, np.float32)
    points[1] = (100, 50)
    draw_points(image, points, [(0, 1)], RED, GREEN)
    weights = image.sum(-1) / image.sum()
    rows, columns = np.indices(weights.shape)
    # OpenCV's small filled circles are not quite symmetric.
    assert (weights * rows).sum() == pytest.approx(50, abs=0.3) and (weights * columns).sum() == pytest.approx(100, abs=0.3)
    assert image[..., 1].any() and not image[..., [0, 2]].any()
    draw_points(image := np.zeros_like(image), np.full_like(points, np.nan), [(0, 1)], RED, GREEN)
    assert not image.any()


def test_every_point_may_have_a_colour_of_its_own():
    image = np.zeros((60, 60, 3), np.uint8)
    draw_points(image, np.array([[10.0, 30.0], [50.0, 30.0]]), [(0, 1)], RED, [GREEN, BLUE])
    assert [image[30, x].argmax() for x in (10, 30, 50)] == [1, 0, 2]
