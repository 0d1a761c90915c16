"""Registration of neighbouring frames by Lucas and Kanade, and the loss that supervises a detector by it.

Supervision by registration (SBR; Dong et al., "Supervision-by-Registration", CVPR 2018), the baseline that the paper of STRRN compares with
(Table 1 and Figure 4), written from its description: a detection in frame t-1, moved by Lucas-Kanade, should be the detection in frame t;
where tracking back does not return to the start, nothing is said.
"""

import torch
from torch import Tensor
from torch.nn import functional

from strrn.methods.losses import point_errors

GREY = 0.299, 0.587, 0.114
DAMPING = 1e-3  # of the 2 x 2 systems, in units of squared grey levels (0..1): a patch without texture does not move


def grey(images: Tensor) -> Tensor:
    """(B, 3, H, W) RGB -> (B, 1, H, W)."""
    return (images * images.new_tensor(GREY)[:, None, None]).sum(1, keepdim=True)


def sample(images: Tensor, at: Tensor) -> Tensor:
    """Bilinear values of images (B, C, H, W) at pixels (B, ..., 2): (B, C, ...). Outside, the border's."""
    height, width = images.shape[-2:]
    grid = at.flatten(1, -2)[:, None] * (2 / at.new_tensor([width - 1, height - 1])) - 1
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=True)[:, :, 0].unflatten(-1, at.shape[1:-1])


def warp(images: Tensor, matrix: Tensor) -> Tensor:
    """The images (B, C, H, W) as they look from another crop; matrix (B, 2, 3): a pixel there -> the pixel here."""
    height, width = images.shape[-2:]
    steps = [torch.arange(count, device=images.device) for count in (height, width)]
    rows, columns = torch.meshgrid(*steps, indexing="ij")
    pixels = torch.stack([columns, rows], -1).to(images.dtype).flatten(0, 1)[None]
    return sample(images, pixels @ matrix[:, :, :2].transpose(1, 2) + matrix[:, None, :, 2]).unflatten(-1, (height, width))


def lucas_kanade(template: Tensor, image: Tensor, points: Tensor, guess: Tensor, radius: int, iterations: int) -> Tensor:
    """Where the patches around `points` of one picture lie in another, (B, L, 2) pixels.

    template, image: (B, 1, H, W); guess: (B, L, 2) start of the search. Translation only, inverse compositional (Baker and Matthews 2004):
    the gradients are the template's. Differentiable in points, guess and pictures.
    """
    reach = torch.arange(-radius, radius + 1, dtype=points.dtype, device=points.device)
    offsets = torch.stack(torch.meshgrid(reach, reach, indexing="xy"), -1).flatten(0, 1)
    at = points[:, :, None] + offsets
    slopes = torch.cat([_difference(template, -1), _difference(template, -2)], 1)
    patch, slopes = sample(template, at)[:, 0], sample(slopes, at).movedim(1, -1)  # (B, L, K) and (B, L, K, 2)
    system = slopes.transpose(-1, -2) @ slopes + DAMPING * torch.eye(2, dtype=points.dtype, device=points.device)
    for _ in range(iterations):
        remaining = (sample(image, guess[:, :, None] + offsets)[:, 0] - patch)[..., None]
        guess = guess - torch.linalg.solve(system, slopes.transpose(-1, -2) @ remaining)[..., 0]
    return guess


def _difference(images: Tensor, dim: int) -> Tensor:
    """Central differences along a dimension, 0 at the border."""
    return functional.pad((images.roll(-1, dim) - images.roll(1, dim)).narrow(dim, 1, images.shape[dim] - 2) / 2,
                          (1, 1, 0, 0) if dim == -1 else (0, 0, 1, 1))  # fmt: skip


def registration_errors(
    before: Tensor,
    image: Tensor,
    detected_before: Tensor,
    detected: Tensor,
    distance: Tensor,
    radius: int,
    iterations: int,
    max_return: float,
) -> tuple[Tensor, Tensor]:
    """SBR's errors on pairs of frames in one crop: |LK(p_det^{t-1}) - p_det^t| / d, and which points' way back ends where it began.

    before, image: (B, 1, H, W), frames t-1 and t; detected_before, detected: (B, L, 2) in their pixels; distance: (B,) d in the same.
    max_return: largest error of the way back, as a share of d. Returns the errors (B, L) and the points that passed (B, L), bool, whose mean
    is the loss.
    """
    moved = lucas_kanade(before, image, detected_before, detected_before, radius, iterations)
    with torch.no_grad():
        returned = lucas_kanade(image, before, moved, moved, radius, iterations)
        errors = point_errors(returned, detected_before, distance)
        passed = (errors < max_return) & torch.isfinite(errors)
    return point_errors(detected, moved, distance), passed
