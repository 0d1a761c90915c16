"""From crops to what the networks read."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from strrn.core.images import reduce_image


def network_input(crops: Sequence[np.ndarray], stride: int) -> Tensor:
    """Crops (S, S, 3) uint8 averaged over blocks of stride x stride pixels: (B, 3, S // stride, S // stride) in [0, 1]."""
    return to_float(torch.from_numpy(np.stack([reduce_image(crop, stride) for crop in crops])))


def to_float(images: Tensor) -> Tensor:
    """(B, S, S, 3) uint8 -> (B, 3, S, S) float32 in [0, 1]."""
    return images.permute(0, 3, 1, 2).float() / 255
