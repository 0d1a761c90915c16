import pytest
import torch

from strrn.models.patches import PatchSampler


def ramp(size: int) -> torch.Tensor:
    """(1, 3, size, size): channel 0 holds x, channel 1 holds y."""
    y, x = torch.meshgrid(torch.arange(size, dtype=torch.float32), torch.arange(size, dtype=torch.float32), indexing="ij")
    return torch.stack([x, y, x])[None]


@pytest.mark.parametrize(("patch_size", "num_samples"), [(15, 15), (30, 15), (36, 12), (96, 12)])
def test_patches_are_centred_on_their_points_to_a_hundredth_of_a_pixel(patch_size, num_samples):
    points = 60 + 190 * torch.rand(1, 68, 2, generator=torch.Generator().manual_seed(0))
    sampler = PatchSampler(68, patch_size, num_samples)
    patches = sampler(sampler.reduce(ramp(315)), points).reshape(68, 3, num_samples, num_samples)
    torch.testing.assert_close(patches[:, :2].mean((2, 3)), points[0], atol=0.01, rtol=0)
    # Neighbouring samples are one stride apart, columns along x and rows along y.
    step = patch_size / num_samples
    torch.testing.assert_close(patches[:, 0].diff(dim=2), torch.full((68, num_samples, num_samples - 1), step), atol=0.01, rtol=0)
    torch.testing.assert_close(patches[:, 1].diff(dim=1), torch.full((68, num_samples - 1, num_samples), step), atol=0.01, rtol=0)


def test_a_size_that_does_not_divide_is_refused():
    with pytest.raises(ValueError, match="30 is not a multiple of the number of samples 12"):
        PatchSampler(68, 30, 12)
