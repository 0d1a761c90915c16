import numpy as np
import pytest
import torch

from strrn.core.heatmaps import decode, patches_around
from strrn.models.hourglass import HeatmapCodec


def gaussians(centres: np.ndarray, height: int = 20, width: int = 24, sigma: float = 1.6) -> np.ndarray:
    """(1, L, height, width) with peaks of 1 at centres (L, 2)."""
    rows, columns = np.mgrid[:height, :width]
    return np.exp(-0.5 * ((columns - centres[:, 0, None, None]) ** 2 + (rows - centres[:, 1, None, None]) ** 2) / sigma**2)[None]


CENTRES = np.array([[7.3, 9.6], [12.0, 5.0], [18.5, 14.25]])


def test_a_gaussians_centre_is_exact():
    points, peak = decode(gaussians(CENTRES))
    np.testing.assert_allclose(points[0], CENTRES, atol=1e-4)
    assert peak.min() > 0.88


def test_decoding_agrees_with_the_hourglass():
    """Another implementation, in torch (it sums over three rows, so the two agree on Gaussians)."""
    codec = HeatmapCodec(100, 20, 1.5)
    truth = torch.tensor([[[31.0, 44.5], [70.2, 20.0]]])
    points, _ = decode(codec.encode(truth).numpy())
    np.testing.assert_allclose(codec.to_crop(torch.from_numpy(points)).numpy(), truth.numpy(), atol=1e-2)


def test_patches_are_sampled_about_the_points_at_their_own_spacing():
    heatmaps = 0.5 * gaussians(CENTRES)
    for spacing, which, tolerance in ((1.0, [1], 1e-6), (2.0, [1], 1e-6), (0.5, [0, 1, 2], 0.15)):  # bilinear between whole cells
        patches = patches_around(heatmaps, CENTRES[None], spacing, 5)
        offsets = (np.arange(5) - 2) * spacing
        expected = np.exp(-0.5 * (offsets[:, None] ** 2 + offsets**2) / 1.6**2)
        assert patches.shape == (1, 3, 5, 5)
        np.testing.assert_allclose(patches[0, which], np.tile(expected, (len(which), 1, 1)), atol=tolerance)


def test_beyond_the_map_there_is_nothing():
    heatmaps = np.ones((1, 1, 6, 6))
    patch = patches_around(heatmaps, np.array([[[0.0, 5.0]]]), 2.0, 3)[0, 0]
    np.testing.assert_array_equal(patch, [[0, 1, 1], [0, 1, 1], [0, 0, 0]])


def test_maps_that_are_too_small():
    with pytest.raises(ValueError, match="2 x 5 cells"):
        decode(np.zeros((1, 1, 2, 5)))
