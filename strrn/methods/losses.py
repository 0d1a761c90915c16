"""Losses as pure element-wise functions on points; the caller reduces them over what is valid."""

import torch
from torch import Tensor


def point_errors(points: Tensor, target: Tensor, distance: Tensor) -> Tensor:
    """|p_l - g_l| / d of every landmark: points and target (B, L, 2), distance (B,) in the same unit -> (B, L).

    Targets that are not valid may be NaN: their error is 0 and passes no gradient (mask it with `masked_mean`).
    """
    difference = torch.where(torch.isnan(target), torch.zeros_like(points), points - target)
    squared = difference.square().sum(-1)
    # The gradient of a square root is infinite at 0; 1e-6 px^2 is far below what matters.
    return torch.sqrt(squared + 1e-6) / distance[:, None]


def masked_mean(values: Tensor, valid: Tensor) -> Tensor:
    """Mean of the valid values, a scalar; 0 where none is valid."""
    weights = valid.to(values.dtype)
    return (values * weights).sum() / weights.sum().clamp(min=1.0)


def scale_nll(errors: Tensor, log_scale: Tensor) -> Tensor:
    """Negative log likelihood of errors (B, L) under exponential distributions of mean exp(log_scale); errors get no gradient."""
    return errors.detach() * torch.exp(-log_scale) + log_scale


def heatmap_errors(heatmaps: Tensor, target: Tensor) -> Tensor:
    """Squared error of heatmaps (B, L, h, w), summed over the map and divided by the target's own sum of squares: (B, L)."""
    return (heatmaps - target).square().sum((-2, -1)) / target.square().sum((-2, -1)).clamp(min=1e-6)


def cycle_errors(returned: Tensor, start: Tensor, distance: Tensor) -> Tensor:
    """Discrepancy of a cycle (STRRN eq. 5) of every landmark, in units of d: (B, L, 2) each -> (B, L).

    Paper: the squared norm. Here: the distance, the unit of the supervised loss beside which it stands.
    """
    return point_errors(returned, start, distance)
