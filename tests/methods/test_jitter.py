import torch

from strrn.methods.jitter import EPSILON, jitter_loss


def test_the_terms_by_hand():
    """e_{t-1} = (1, 0): the same error again costs itself, the truth costs mu, the other side of it both and the jump."""
    before = torch.tensor([[1.0, 0.0]])
    value = {e: float(jitter_loss(torch.tensor([e]), before, 2.0, 3.0)) for e in ((1.0, 0.0), (0.0, 0.0), (-1.0, 0.0), (0.0, 1.0))}
    assert value[(1.0, 0.0)] == 1.0
    assert value[(0.0, 0.0)] == 2.0
    assert abs(value[(-1.0, 0.0)] - (1 + 2 * 4 + 3 / (1 + EPSILON))) < 1e-5
    assert value[(0.0, 1.0)] == 1 + 2 * 2


def test_without_the_jump_the_minimum_is_between_the_truth_and_the_error_before():
    """METHODS: argmin = mu / (1 + mu) e_{t-1}, found here by descent."""
    before, mu = torch.tensor([0.8, -0.6], dtype=torch.float64), 3.0
    residual = torch.tensor([-2.0, 1.0], dtype=torch.float64, requires_grad=True)
    for _ in range(200):
        (gradient,) = torch.autograd.grad(jitter_loss(residual, before, mu, 0.0), residual)
        residual = (residual - 0.1 * gradient).detach().requires_grad_()
    torch.testing.assert_close(residual.detach(), mu / (1 + mu) * before, atol=1e-9, rtol=0)


def test_the_minimum_lies_in_both_regions():
    """The disc about the truth and the disc about the error before, both of radius |e_{t-1}|."""
    before = torch.tensor([1.0, 0.0])
    grid = torch.stack(torch.meshgrid(torch.linspace(-2, 2, 81), torch.linspace(-2, 2, 81), indexing="ij"), -1)
    for mu in (0.2, 1.0, 5.0):
        best = grid.flatten(0, 1)[jitter_loss(grid, before.expand_as(grid), mu, 0.5).argmin()]
        assert best.norm() <= 1 and (best - before).norm() <= 1


def test_gradient():
    torch.manual_seed(0)
    residual, before = torch.randn(2, 5, 4, 2, dtype=torch.float64).unbind(0)
    residual.requires_grad_()
    assert torch.autograd.gradcheck(lambda e: jitter_loss(e, before, 1.5, 0.7), residual)


def test_no_gradient_reaches_the_frame_before():
    before = torch.ones(3, 2, requires_grad=True)
    residual = torch.zeros(3, 2, requires_grad=True)
    jitter_loss(residual, before, 1.0, 1.0).sum().backward()
    assert before.grad is None and residual.grad is not None
