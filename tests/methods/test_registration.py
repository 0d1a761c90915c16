"""Lucas-Kanade finds shifts to a fraction of a pixel, and the loss says nothing where the way back goes elsewhere."""

import pytest
import torch
from torch.nn import functional

from strrn.methods.registration import grey, lucas_kanade, registration_errors, sample, warp

POINTS = torch.tensor([[[20.0, 20.0], [30.0, 24.0], [24.3, 35.6]]])


@pytest.fixture
def picture():
    noise = torch.rand((1, 1, 56, 56), generator=torch.Generator().manual_seed(0))
    kernel = torch.exp(-torch.linspace(-2, 2, 9).square())
    kernel = (kernel[:, None] * kernel)[None, None] / kernel.sum() ** 2
    return functional.conv2d(noise, kernel, padding=4)


def shifted(picture, x, y):
    """What was at (x0, y0) is at (x0 + x, y0 + y)."""
    return warp(picture, torch.tensor([[[1.0, 0.0, -x], [0.0, 1.0, -y]]]))


@pytest.mark.parametrize(("x", "y"), [(0.0, 0.0), (0.4, -0.3), (1.7, 1.2)])
def test_a_shift_is_found(picture, x, y):
    found = lucas_kanade(picture, shifted(picture, x, y), POINTS, POINTS, radius=4, iterations=15)
    assert (found - POINTS).flatten().tolist() == pytest.approx([x, y] * 3, abs=0.05)


def test_without_texture_nothing_moves():
    flat = torch.full((1, 1, 40, 40), 0.5)
    assert torch.equal(lucas_kanade(flat, flat + 0.1, POINTS[:, :1], POINTS[:, :1], 3, 5), POINTS[:, :1])


def test_pixels_are_sampled_at_their_centres(picture):
    assert sample(picture, torch.tensor([[[7.0, 3.0], [55.0, 0.0]]]))[0, 0].tolist() == pytest.approx(
        [picture[0, 0, 3, 7].item(), picture[0, 0, 0, 55].item()], abs=1e-5
    )
    assert warp(picture, torch.eye(2, 3)[None]) == pytest.approx(picture, abs=1e-5)
    assert grey(torch.ones((1, 3, 2, 2))) == pytest.approx(torch.ones((1, 1, 2, 2)))


def test_the_loss_is_the_distance_between_detection_and_registration(picture):
    after, distance = shifted(picture, 1.0, 0.0), torch.tensor([10.0])
    late = POINTS.clone().requires_grad_()  # a detector that stays behind by one pixel, 0.1 d
    errors, passed = registration_errors(picture, after, POINTS, late, distance, 4, 15, 0.05)
    assert passed.all() and errors[0].tolist() == pytest.approx([0.1] * 3, abs=0.005)
    errors.sum().backward()
    assert (late.grad[..., 0] < 0).all()
    right, _ = registration_errors(picture, after, POINTS, POINTS + torch.tensor([1.0, 0.0]), distance, 4, 15, 0.05)
    assert (right < 0.005).all()


def test_what_was_hidden_says_nothing(picture):
    after = shifted(picture, 0.5, 0.0)
    after[..., :27, :26] = 0.9 * torch.rand((27, 26), generator=torch.Generator().manual_seed(1))  # something came before the first point
    errors, passed = registration_errors(picture, after, POINTS, POINTS + torch.tensor([0.5, 0.0]), torch.tensor([10.0]), 3, 15, 0.02)
    assert passed.tolist() == [[False, True, True]] and (errors[passed] < 0.01).all()
