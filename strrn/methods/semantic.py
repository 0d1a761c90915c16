"""Semantic alignment: where a landmark lies that an annotation and a network's heatmap speak of.

Of the paper ("Semantic Alignment: Finding Semantically Consistent Ground-truth for Facial Landmark Detection") this project has the
abstract: the real position y is a latent variable, which the network and a search find by turns. The prior about the annotation o, the
likelihood by Pearson's chi-square and the window of 17 x 17 are METHODS, section 4; units and sub-cell steps are chosen here
(docs/methods/sa.md).
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from strrn.models.precision import full_precision

SIDE = 17  # candidates along an axis of the window
FLOOR = 0.01  # of the ideal patch: where it is in the denominator, its tails would outweigh all else


@dataclass(frozen=True)
class SearchParameters:
    """annotation_sigma: s1, how far annotations lie from what they mean, share of d. across: the same off the line that a landmark is on, as
    a share of s1; 1: as far as along it. heatmap_sigma: s2, by which the chi-square is weighed; it has no unit. resolution: candidates in
    a heatmap cell, along an axis. patch_radius: of the patch that is compared, in cells. cap: largest |y - o|, share of d. mirrored: is
    the heatmap the mean of those of the crop and of its mirror image?"""

    annotation_sigma: float
    across: float
    heatmap_sigma: float
    resolution: int
    patch_radius: int
    cap: float
    mirrored: bool

    def __post_init__(self) -> None:
        for name in ("annotation_sigma", "across", "heatmap_sigma", "cap"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, found {getattr(self, name)}")
        for name in ("resolution", "patch_radius"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, found {getattr(self, name)}")


def window_offsets(spacing: float, side: int = SIDE) -> Tensor:
    """(side, side, 2): x and y of a square grid of places about 0, `spacing` apart; the middle one is 0."""
    steps = (torch.arange(side) - (side - 1) / 2) * spacing
    rows, columns = torch.meshgrid(steps, steps, indexing="ij")
    return torch.stack([columns, rows], -1)


def ideal_patch(radius: int, sigma: float) -> Tensor:
    """E: (2 radius + 1)^2 cells of a Gaussian heatmap of peak 1 about its middle cell; sigma in cells. Nowhere below FLOOR."""
    squared = window_offsets(1.0, 2 * radius + 1).square().sum(-1)
    return torch.exp(-0.5 * squared / sigma**2).clamp(min=FLOOR)


def log_prior(offsets: Tensor, sigma: float, direction: Tensor | None = None, across: float = 1.0) -> Tensor:
    """log P(o | y) but for a constant: -|o - y|^2 / (2 sigma^2) of offsets y - o (..., 2), in the unit of sigma.

    METHODS: the same on all sides, as without a direction, or with one of NaN. Here: what lies across `direction`, unit vectors that
    broadcast to the offsets, is divided by `across` first, because annotators see a contour, and not where on it a landmark is.
    """
    squared = offsets.square().sum(-1)
    if direction is not None:
        normal = offsets[..., 0] * direction[..., 1] - offsets[..., 1] * direction[..., 0]
        squared = squared + normal.nan_to_num().square() * (1 / across**2 - 1)
    return -squared / (2 * sigma**2)


def log_likelihood(patches: Tensor, ideal: Tensor, sigma: float) -> Tensor:
    """log P(y | image) but for a constant: minus Pearson's chi-square of heatmap patches (..., k, k) against E (k, k), over 2 sigma^2."""
    return -((ideal - patches).square() / ideal).sum((-2, -1)) / (2 * sigma**2)


def window_likelihood(heatmaps: Tensor, annotated: Tensor, ideal: Tensor, sigma: float, resolution: int) -> Tensor:
    """`log_likelihood` of every candidate of the windows about annotated (B, L, 2), in cells of heatmaps (B, L, h, w): (B, L, SIDE, SIDE).

    Candidates lie 1 / resolution cells apart, the samples of a patch one cell; heatmaps are read bilinearly, are 0 outside, and what is
    negative in them is 0. All patches come from one fine grid about the annotation: with the square multiplied out, the chi-square is the
    constant sum of E and two correlations, of the grid with 1 and of its square with 1 / E.
    """
    batch, landmarks, height, width = heatmaps.shape
    radius = (len(ideal) - 1) // 2
    grid = annotated.flatten(0, 1)[:, None, None] + window_offsets(1 / resolution, SIDE + 2 * radius * resolution).to(annotated)
    grid = 2 * grid / grid.new_tensor([width - 1, height - 1]) - 1
    maps = heatmaps.clamp(min=0).flatten(0, 1)[:, None]
    fine = functional.grid_sample(maps, grid, mode="bilinear", padding_mode="zeros", align_corners=True)
    weights = torch.stack([torch.full_like(ideal, -2.0), 1 / ideal])[None].to(fine)
    found = functional.conv2d(torch.cat([fine, fine.square()], 1), weights, dilation=resolution)
    return -(ideal.sum() + found).view(batch, landmarks, SIDE, SIDE) / (2 * sigma**2)


@full_precision
@torch.no_grad()
def search(
    heatmaps: Tensor, annotated: Tensor, direction: Tensor, distance: Tensor, gaussian: float, parameters: SearchParameters
) -> Tensor:
    """The y of greatest log P(o | y) + log P(y | image) in the window about each annotation o, cap included: (B, L, 2) in cells.

    heatmaps (B, L, h, w), peak 1 where the network is sure; annotated (B, L, 2) in their cells, integer = middle of a cell, finite;
    direction (B, L, 2): unit vector along the line that the landmark is on, NaN where it is on none; distance (B,): d in cells; gaussian:
    standard deviation of the targets that the network learned, in cells. Between candidates, the answer is the vertex of the parabolas
    through the best one and its neighbours along both axes.
    """
    ideal = ideal_patch(parameters.patch_radius, gaussian)
    offsets = window_offsets(1 / parameters.resolution).to(annotated)
    relative = offsets / distance.view(-1, 1, 1, 1, 1)
    score = window_likelihood(heatmaps, annotated, ideal.to(annotated), parameters.heatmap_sigma, parameters.resolution)
    score = score + log_prior(relative, parameters.annotation_sigma, direction[:, :, None, None], parameters.across)
    beyond = (torch.linalg.vector_norm(relative, dim=-1) > parameters.cap).expand_as(score)
    best = score.masked_fill(beyond, -torch.inf).flatten(2).argmax(-1)
    row, column = best // SIDE, best % SIDE
    step = torch.stack([_vertex(score.flatten(2), row, column, 0, 1), _vertex(score.flatten(2), row, column, 1, 0)], -1)
    moved = offsets.flatten(0, 1)[best] + step / parameters.resolution
    length = torch.linalg.vector_norm(moved, dim=-1, keepdim=True)
    return annotated + moved * (parameters.cap * distance.view(-1, 1, 1) / length.clamp(min=1e-6)).clamp(max=1.0)


def _vertex(score: Tensor, row: Tensor, column: Tensor, down: int, across: int) -> Tensor:
    """Where the parabola through a candidate and its two neighbours is highest, in steps from it; 0 on the rim. score (B, L, SIDE^2)."""
    inside = (row >= down) & (row < SIDE - down) & (column >= across) & (column < SIDE - across)
    middle = row * SIDE + column
    reach = (down * SIDE + across) * inside
    before, here, after = (score.gather(-1, (middle + sign * reach)[..., None])[..., 0] for sign in (-1, 0, 1))
    curvature = 2 * here - before - after
    return torch.where(curvature > 0, 0.5 * (after - before) / curvature.clamp(min=1e-6), 0.0).clamp(-0.5, 0.5)
