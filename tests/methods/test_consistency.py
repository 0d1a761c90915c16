"""How far sources agree, worked out by hand, and the way into a student's view."""

import math

import pytest
import torch

from strrn.core.landmarks import load_scheme
from strrn.methods.consistency import agreement, consensus, from_mirrored, in_view, ramp_up, source_errors, to_view

NAN = float("nan")
EVERYWHERE = torch.ones(2, 1, 1, dtype=torch.bool)


def test_sources_that_lie_one_tau_from_their_mean_weigh_exp_of_minus_a_half():
    # 6 px apart, d = 100: each lies 0.03 d from the mean, and that is tau.
    sources = torch.tensor([[[[10.0, 10.0]]], [[[16.0, 10.0]]]])
    assert agreement(sources, EVERYWHERE, torch.tensor([100.0]), 0.03).item() == pytest.approx(math.exp(-0.5), rel=1e-5)
    assert consensus(sources, EVERYWHERE).flatten().tolist() == [13.0, 10.0]
    # In units of d: a face of twice the size with points twice as far apart weighs the same.
    assert agreement(2 * sources, EVERYWHERE, torch.tensor([200.0]), 0.03).item() == pytest.approx(math.exp(-0.5), rel=1e-5)


def test_the_spread_of_three_sources_is_the_root_mean_square():
    # Distances from the mean (0, 0): 2, 1, 1 -> mean square 2; 2 / (2 * 1^2) with tau = 0.01 of d = 100.
    sources = torch.tensor([[2.0, 0.0], [-1.0, 0.0], [-1.0, 0.0]]).view(3, 1, 1, 2)
    known = torch.ones(3, 1, 1, dtype=torch.bool)
    assert agreement(sources, known, torch.tensor([100.0]), 0.01).item() == pytest.approx(math.exp(-1), rel=1e-5)


def test_an_unknown_source_counts_nowhere_and_a_single_one_weighs_one():
    sources = torch.tensor([[[[10.0, 10.0], [5.0, 5.0]]], [[[NAN, NAN], [900.0, 5.0]]]])
    known = torch.tensor([[[True, False]], [[False, False]]])
    assert agreement(sources, known, torch.tensor([50.0]), 0.02).tolist() == [[1.0, 0.0]]
    assert consensus(sources, known).tolist() == [[[10.0, 10.0], [0.0, 0.0]]]
    errors = source_errors(torch.tensor([[[13.0, 14.0], [0.0, 0.0]]]), sources, known, torch.tensor([50.0]))
    assert errors.flatten().tolist() == pytest.approx([5 / 50, 0.0], abs=1e-6)


def test_the_error_is_the_mean_over_the_sources():
    sources = torch.tensor([[[[0.0, 0.0]]], [[[8.0, 0.0]]]])
    # 3 px from one, 5 px from the other, d = 10.
    assert source_errors(torch.tensor([[[3.0, 0.0]]]), sources, EVERYWHERE, torch.tensor([10.0])).item() == pytest.approx(0.4, rel=1e-5)


def test_the_weights_pass_no_gradient_to_points_and_the_errors_do():
    points = torch.tensor([[[3.0, 4.0]]], requires_grad=True)
    source_errors(points, torch.zeros(1, 1, 1, 2), EVERYWHERE[:1], torch.tensor([10.0])).sum().backward()
    # The unit vector towards the point, over d.
    assert points.grad.flatten().tolist() == pytest.approx([0.06, 0.08], rel=1e-4)


def test_the_ramp_rises_to_one():
    assert ramp_up(0, 100) == pytest.approx(math.exp(-5))
    assert ramp_up(50, 100) == pytest.approx(math.exp(-1.25))
    assert ramp_up(100, 100) == ramp_up(500, 100) == ramp_up(0, 0) == 1.0


def test_a_mirrored_view_moves_points_and_gives_each_its_partners_name():
    mirror, width = torch.tensor(load_scheme("ibug68").mirror), 40
    points = torch.rand(2, 68, 2, generator=torch.Generator().manual_seed(0)) * width
    mirroring = torch.tensor([[-1.0, 0.0, width - 1.0], [0.0, 1.0, 0.0]])
    matrix, mirrored = torch.stack([mirroring, torch.eye(2, 3)]), torch.tensor([True, False])
    view = to_view(points, matrix, mirrored, mirror)
    assert view[0, 0].tolist() == pytest.approx([width - 1 - points[0, 16, 0].item(), points[0, 16, 1].item()])
    assert torch.equal(view[1], points[1])
    # What is found in a mirrored picture is where it was.
    torch.testing.assert_close(from_mirrored(view[:1], width, mirror), points[:1])
    assert in_view(torch.arange(68)[None].repeat(2, 1), mirrored, mirror)[:, 0].tolist() == [16, 0]
