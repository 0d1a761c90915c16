"""What changes in a synthetic video from frame to frame beside the motion: light, blur of motion, things that pass, noise.

Frames that differ make the errors of a single look differ, as in a video, and the tracker learns to lean on the shape it comes from.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))


@dataclass(frozen=True)
class FlickerParameters:
    """light: standard deviation of the logarithm of the gain. noise: largest standard deviation, as a share of white. blur: share of
    frames that are blurred along a line; blur_reach: how far at most to either side, in pixels of the reduced image. occlusion: share of
    frames with something in front; occlusion_size: its largest side as a share of the crop."""

    light: float
    noise: float
    blur: float
    blur_reach: int
    occlusion: float
    occlusion_size: float

    def __post_init__(self) -> None:
        for name in ("light", "noise"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, found {getattr(self, name)}")
        for name in ("blur", "occlusion", "occlusion_size"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in [0, 1], found {getattr(self, name)}")
        if self.blur_reach < 1:
            raise ValueError(f"blur_reach must be at least 1, found {self.blur_reach}")


@dataclass(frozen=True)
class Part:
    """Images of a larger batch, whose others another process has: rows of it, in their order, and its size."""

    rows: Sequence[int]
    size: int


def flicker(images: Tensor, parameters: FlickerParameters, generator: torch.Generator | None = None, part: Part | None = None) -> Tensor:
    """Images (B, 3, H, W) in [0, 1] as another frame shows them, in place.

    generator: of the CPU, wherever the images are; None is torch's own. part: None is the whole batch. What happens to an image depends on
    its row in the whole batch, not on who has it.
    """
    height, width = images.shape[2:]
    part = part or Part(range(len(images)), len(images))
    batch, rows = part.size, list(part.rows)
    here = {row: number for number, row in enumerate(rows)}

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    def own(values: Tensor) -> Tensor:
        return values[rows].to(images.device)

    images *= own(torch.exp(parameters.light * (normal(batch, 1, 1, 1) + normal(batch, 3, 1, 1) / 4)))
    for row in torch.nonzero(uniform(batch) < parameters.blur).flatten().tolist():
        reach, direction = uniform(2).tolist()
        if row not in here:
            continue
        row = here[row]
        reach = 1 + int(reach * parameters.blur_reach)
        down, right = DIRECTIONS[int(direction * len(DIRECTIONS))]
        shifted = [images[row].roll((down * shift, right * shift), (1, 2)) for shift in range(-reach, reach + 1)]
        images[row] = sum(shifted) / len(shifted)
    for row in torch.nonzero(uniform(batch) < parameters.occlusion).flatten().tolist():
        places = uniform(4) * torch.tensor([height, width, parameters.occlusion_size * height, parameters.occlusion_size * width])
        top, left, tall, wide = places.int().tolist()
        colour = uniform(3, 1, 1)
        if row in here:
            images[here[row], :, top : top + tall + 1, left : left + wide + 1] = colour.to(images.device)
    # One field of noise for the batch: a view meets another one in its next frame, and drawing one for each would take longer.
    return images.addcmul_(own(parameters.noise * uniform(batch, 1, 1, 1)), normal(1, *images.shape[1:]).to(images.device))
