import numpy as np
import pytest

from strrn.core.landmarks import LandmarkScheme
from strrn.core.mirror import both_ways


@pytest.mark.parametrize(("size", "stride"), [(8, 1), (16, 2), (17, 2)])
def test_both_ways_is_the_mean_with_the_mirror_image(size, stride):
    """A detector that puts two mirrored landmarks on the brightest column, and one of its columns to the right."""
    scheme = LandmarkScheme("two", ("left", "right"), (1, 0), {"all": (0, 1)}, (), 0, {"d": ((0,), (1,))}, {})

    def in_crop(columns):
        return (np.asarray(columns, np.float32) + 0.5) * stride - 0.5

    def detect(crops):
        columns = np.array([crop[0].sum(-1).argmax() for crop in crops], np.float32)
        points = np.stack([np.stack([in_crop(columns + shift), np.full(len(crops), 3.0)], -1) for shift in (0, 1)], 1).astype(np.float32)
        return points, np.tile(np.float32([0.2, 0.6]), (len(crops), 1))

    crop = np.zeros((8, 8, 3), np.uint8)
    crop[:, 2] = 255
    points, confidence = both_ways(detect, scheme, size, [crop])
    # In the mirror image the column is 5: landmarks at 5 and 6 there, which are 2 and 1 here, with their names exchanged.
    np.testing.assert_allclose(points, [[[in_crop((2 + 1) / 2), 3], [in_crop((3 + 2) / 2), 3]]])
    np.testing.assert_allclose(confidence, [[0.4, 0.4]])
