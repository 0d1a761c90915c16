"""The Jitter loss of BRF: near the truth, near the error of the frame before, and not on the other side of the truth."""

from torch import Tensor
from torch.nn import functional

EPSILON = 1e-3  # in the unit of the residuals: an error this small has no side


def jitter_loss(residual: Tensor, before: Tensor, mu: float, nu: float) -> Tensor:
    """residual e_t, before e_{t-1} (..., 2), errors p - g of one landmark in neighbouring frames in one unit -> (...), element by element.

    |e_t|^2 + mu |e_t - e_{t-1}|^2 + nu relu(-<e_t, e_{t-1}>) / (|e_{t-1}| + eps); no gradient passes to e_{t-1}. Without the last term
    it is least at mu / (1 + mu) e_{t-1}.

    Paper ("A Backbone Replaceable Fine-tuning Framework for Stable Face Alignment", abstract): accurate landmarks and stable ones lie in
    regions that overlap, in a coordinate system in which e_{t-1} = (1, 0). Here: a reconstruction from these regions, because no formula
    was at hand: the disc |e_t| <= |e_{t-1}| about the truth, the disc |e_t - e_{t-1}| <= |e_{t-1}| about the error before, and their lens.
    """
    before = before.detach()
    accuracy = residual.square().sum(-1)
    stability = (residual - before).square().sum(-1)
    opposite = functional.relu(-(residual * before).sum(-1)) / (before.norm(dim=-1) + EPSILON)
    return accuracy + mu * stability + nu * opposite
