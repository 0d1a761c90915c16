import pytest
import torch

from strrn.training.flicker import FlickerParameters, flicker

NOTHING = {"light": 0.0, "noise": 0.0, "blur": 0.0, "blur_reach": 2, "occlusion": 0.0, "occlusion_size": 0.5}


def shown(**changes: float) -> torch.Tensor:
    """Four grey images with a white dot in the middle, in another frame."""
    images = torch.full((4, 3, 41, 41), 0.4)
    images[:, :, 20, 20] = 1.0
    return flicker(images, FlickerParameters(**{**NOTHING, **changes}), torch.Generator().manual_seed(0))


def test_without_changes_a_frame_is_the_still():
    images = shown()
    assert images[:, :, 20, 20].eq(1).all() and images.sum().item() == pytest.approx(0.4 * 4 * 3 * 41 * 41 + 0.6 * 12, rel=1e-5)


def test_blur_spreads_a_dot_along_a_line_about_its_place():
    images = shown(blur=1.0) - 0.4
    assert images.sum((2, 3)).flatten().tolist() == pytest.approx([0.6] * 12, abs=1e-3)
    rows, columns = torch.meshgrid(torch.arange(41.0), torch.arange(41.0), indexing="ij")
    for image in images[:, 0]:
        assert (image > 1e-3).sum() in (3, 5)
        middle = ((image * rows).sum() / image.sum(), (image * columns).sum() / image.sum())
        assert [float(m) for m in middle] == pytest.approx([20, 20], abs=1e-3)


def test_occluders_cover_part_of_every_image_that_they_hit():
    changed = (shown(occlusion=1.0) - shown()).abs().amax(1) > 0
    share = changed.float().mean((1, 2))
    assert (share > 0).all() and (share <= 0.5 * 0.5 + 0.1).all()


def test_light_is_one_gain_a_channel_and_noise_differs_from_pixel_to_pixel():
    assert (shown(light=0.2)[:, :, :20].flatten(2).std(2) < 1e-6).all()
    assert (shown(noise=0.1)[:, :, :20].flatten(2).std(2) > 0).all()


@pytest.mark.parametrize(("name", "value"), [("light", -0.1), ("blur", 1.5), ("occlusion_size", 2.0), ("blur_reach", 0)])
def test_values_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=name):
        FlickerParameters(**{**NOTHING, name: value})
