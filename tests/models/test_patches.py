import pytest
import torch

from strrn.models.patches import CONTRAST, MIDDLE, PatchFeatures, PatchSampler, block_means, normalised


def ramp(size: int) -> torch.Tensor:
    """(1, 3, size, size): channel 0 holds x, channel 1 holds y."""
    y, x = torch.meshgrid(torch.arange(size, dtype=torch.float32), torch.arange(size, dtype=torch.float32), indexing="ij")
    return torch.stack([x, y, x])[None]


def reduced(sampler: PatchSampler) -> torch.Tensor:
    return block_means(ramp(315), [sampler.stride])[sampler.stride]


def pictures(patches: torch.Tensor, block: int) -> torch.Tensor:
    """What PatchSampler gives, (1, L, blocks, 3 * block^2), as (L, 3, n, n)."""
    side = int(patches.shape[2] ** 0.5)
    blocks = (patches[0] + MIDDLE).reshape(-1, side, side, block, block, 3)
    return blocks.permute(0, 5, 1, 3, 2, 4).reshape(len(blocks), 3, side * block, side * block)


@pytest.mark.parametrize(("patch_size", "num_samples", "block"), [(15, 15, 5), (30, 15, 3), (36, 12, 4), (96, 12, 4)])
def test_patches_are_centred_on_their_points_to_a_hundredth_of_a_pixel(patch_size, num_samples, block):
    points = 60 + 190 * torch.rand(1, 68, 2, generator=torch.Generator().manual_seed(0))
    sampler = PatchSampler(68, patch_size, num_samples, block)
    patches = pictures(sampler(reduced(sampler), points), block)
    torch.testing.assert_close(patches[:, :2].mean((2, 3)), points[0], atol=0.01, rtol=0)
    # Neighbouring samples are one stride apart, columns along x and rows along y.
    step = patch_size / num_samples
    torch.testing.assert_close(patches[:, 0].diff(dim=2), torch.full((68, num_samples, num_samples - 1), step), atol=0.01, rtol=0)
    torch.testing.assert_close(patches[:, 1].diff(dim=1), torch.full((68, num_samples - 1, num_samples), step), atol=0.01, rtol=0)


def test_gathered_patches_equal_the_sampled_ones_at_the_border_too():
    points = 400 * torch.rand(3, 68, 2, generator=torch.Generator().manual_seed(0)) - 45
    image = torch.rand(3, 3, 40, 33, generator=torch.Generator().manual_seed(1))
    sampler = PatchSampler(68, 96, 12, 4)
    places = (points + 0.5) / sampler.stride - 0.5
    torch.testing.assert_close(sampler._gathered(image, places), sampler._sampled(image, places), atol=1e-4, rtol=0)


def test_a_size_that_does_not_divide_is_refused():
    with pytest.raises(ValueError, match="30 is not a multiple of the number of samples 12"):
        PatchSampler(68, 30, 12, 4)
    with pytest.raises(ValueError, match="15 is not a multiple of the block's 4"):
        PatchSampler(68, 30, 15, 4)


def test_normalised_patches_do_not_tell_light_and_colour_but_flat_ones_stay_flat():
    patches = torch.rand(2, 5, 9, 48, generator=torch.Generator().manual_seed(0)) - 0.5
    even = normalised(patches, 0.001)
    colours = even.unflatten(3, (-1, 3))
    torch.testing.assert_close(colours.mean((2, 3)), torch.zeros(2, 5, 3), atol=1e-6, rtol=0)
    torch.testing.assert_close(colours.square().mean((2, 3, 4)).sqrt(), torch.full((2, 5), CONTRAST), atol=1e-4, rtol=0)
    light, colour = torch.tensor([0.3, 0.7])[:, None, None, None], torch.tensor([0.2, 0.0, -0.1]).repeat(16)
    torch.testing.assert_close(normalised(patches * light + colour, 0.001), even, atol=1e-3, rtol=0)
    assert normalised(patches * 1e-3, 0.02).abs().max() < 0.02


def test_a_network_sees_the_same_in_any_light():
    image, points = torch.rand(1, 3, 60, 60, generator=torch.Generator().manual_seed(0)), 20 + 20 * torch.rand(1, 4, 2)
    sizes = {"sizes": [16], "samples": 8, "block": 4, "channels": [4, 4], "feature_size": 4}
    torch.manual_seed(0)
    dark, floor = image * 0.5, 0.001
    for even, same in ((floor, True), (0.0, False)):
        features = PatchFeatures(4, **sizes, contrast_floor=even)
        seen, seen_dark = (features(features.pixels(block_means(picture, [2])[2]), 0, points) for picture in (image, dark))
        assert torch.allclose(seen, seen_dark, atol=1e-3) == same


def test_flat_bright_patches_are_finite_in_bfloat16():
    patches = torch.linspace(0.25, 0.5, 400)[None, :, None, None].expand(1, 400, 9, 48)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.isfinite(normalised(patches, 0.02)).all()
