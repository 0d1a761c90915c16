import math

import pytest
import torch

from strrn.methods.losses import heatmap_errors, masked_mean, point_errors, scale_nll


def test_point_errors_by_hand():
    points = torch.tensor([[[3.0, 4.0], [0.0, 0.0]]])
    target = torch.zeros(1, 2, 2)
    # Distances 5 and 0, d = 10; the smoothing under the root adds less than 1e-4.
    torch.testing.assert_close(point_errors(points, target, torch.tensor([10.0])), torch.tensor([[0.5, 0.0]]), atol=2e-4, rtol=0)


def test_an_unlabelled_point_adds_nothing_and_passes_no_gradient():
    points = torch.tensor([[[3.0, 4.0], [7.0, 7.0]]], requires_grad=True)
    target = torch.tensor([[[0.0, 0.0], [math.nan, math.nan]]])
    valid = torch.tensor([[True, False]])
    loss = masked_mean(point_errors(points, target, torch.tensor([10.0])), valid)
    loss.backward()
    assert loss.item() == pytest.approx(0.5, abs=1e-4)
    torch.testing.assert_close(points.grad[0], torch.tensor([[0.06, 0.08], [0.0, 0.0]]), atol=1e-4, rtol=0)


def test_no_valid_entry_gives_zero():
    assert masked_mean(torch.ones(2, 3), torch.zeros(2, 3, dtype=torch.bool)).item() == 0


def test_gradient_of_point_errors():
    torch.manual_seed(0)
    points = torch.randn(2, 3, 2, dtype=torch.float64, requires_grad=True)
    target, distance = torch.randn(2, 3, 2, dtype=torch.float64), torch.tensor([1.5, 2.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda p: point_errors(p, target, distance), points)


def test_scale_nll_is_least_at_the_error_itself_and_leaves_the_error_alone():
    error = torch.tensor([[0.2]], requires_grad=True)
    scales = torch.log(torch.tensor([0.1, 0.2, 0.4]))
    # r / s + log s: 2 - 2.3026, 1 - 1.6094, 0.5 - 0.9163.
    values = [scale_nll(error, s.reshape(1, 1)).item() for s in scales]
    assert values == pytest.approx([-0.302585, -0.609438, -0.416291], abs=1e-5)
    log_scale = scales[:1].reshape(1, 1).requires_grad_()
    scale_nll(error, log_scale).sum().backward()
    assert error.grad is None
    assert log_scale.grad.item() == pytest.approx(-1.0, abs=1e-5)


def test_heatmap_error_of_an_empty_map_is_one():
    target = torch.rand(1, 2, 5, 5)
    torch.testing.assert_close(heatmap_errors(torch.zeros_like(target), target), torch.ones(1, 2))
    torch.testing.assert_close(heatmap_errors(target, target), torch.zeros(1, 2))
