"""How far several sources of supervision agree on an unlabelled face, and what that makes of a student's loss.

For teacher-student asynchronous learning (TSAL). Of its paper this project has the abstract, which says that pseudo-labels are mined
implicitly by a criterion of consistency between sources, and gives no formula: weights, losses and ramp here are a reconstruction.
"""

import math

import torch
from torch import Tensor

from strrn.methods.losses import point_errors

RAMP = 5.0  # the steepness that Laine and Aila (Temporal Ensembling, ICLR 2017) use


def ramp_up(step: int, length: int) -> float:
    """w(t) in (0, 1]: exp(-5 (1 - t / length)^2) over the first `length` steps, then 1; length 0 is no ramp."""
    return 1.0 if step >= length else math.exp(-RAMP * (1 - step / length) ** 2)


def in_view(values: Tensor, mirrored: Tensor, mirror: Tensor) -> Tensor:
    """Values of landmarks (B, L, ...) in the order of a view: where `mirrored` (B,) bool, every landmark becomes its partner.

    mirror: (L,) the partner of each landmark.
    """
    return torch.where(mirrored.view(-1, *[1] * (values.dim() - 1)), values[:, mirror], values)


def to_view(points: Tensor, matrix: Tensor, mirrored: Tensor, mirror: Tensor) -> Tensor:
    """points (B, L, 2) of a crop -> the same landmarks in views of it; matrix (B, 2, 3): crop pixel -> pixel of the view; else `in_view`."""
    return in_view(points, mirrored, mirror) @ matrix[:, :, :2].transpose(1, 2) + matrix[:, None, :, 2]


def from_mirrored(points: Tensor, width: int, mirror: Tensor) -> Tensor:
    """Points (B, L, 2) found in mirrored pictures `width` pixels wide -> where those landmarks lie in the pictures."""
    return torch.stack([width - 1 - points[..., 0], points[..., 1]], -1)[:, mirror]


def consensus(sources: Tensor, known: Tensor) -> Tensor:
    """Mean of the known sources (S, B, L, 2), known (S, B, L) bool: (B, L, 2); 0 where none is known."""
    weights = known[..., None].to(sources.dtype)
    return (sources.nan_to_num() * weights).sum(0) / weights.sum(0).clamp(min=1.0)


def agreement(sources: Tensor, known: Tensor, distance: Tensor, tau: float) -> Tensor:
    """exp(-spread^2 / (2 tau^2)) of every landmark, (B, L) in [0, 1].

    The spread is the root mean square of the distances of the known sources from their mean, in units of d: sources (S, B, L, 2),
    known (S, B, L) bool, distance (B,) d in the unit of the points. A single source has no spread and weighs 1, no source weighs 0.
    """
    squared = (sources.nan_to_num() - consensus(sources, known)).square().sum(-1) / distance[:, None].square()
    weights = known.to(squared.dtype)
    count = weights.sum(0)
    return torch.exp(-(squared * weights).sum(0) / count.clamp(min=1.0) / (2 * tau**2)) * (count > 0)


def source_errors(points: Tensor, sources: Tensor, known: Tensor, distance: Tensor) -> Tensor:
    """Mean over the known sources (S, B, L, 2) of |p_l - source_l| / d for points (B, L, 2): (B, L); 0 where none is known."""
    weights = known.to(points.dtype)
    errors = torch.stack([point_errors(points, source, distance) for source in sources])
    return (errors * weights).sum(0) / weights.sum(0).clamp(min=1.0)
