"""Patches around landmarks, and the small network that turns each into an appearance feature (STRRN eq. 1, MDM)."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional


def block_means(images: Tensor, strides: Iterable[int]) -> dict[int, Tensor]:
    """images (B, 3, H, W) averaged over blocks of each stride: stride -> (B, 3, H // stride, W // stride); what is left over is cut off.

    A coarse image is made of the coarsest finer one that fits. A sum of strided views is several times faster than avg_pool2d on a CPU.
    """
    made = {1: images}
    for stride in sorted(set(strides)):
        if stride in made:
            continue
        base = max(finer for finer in made if stride % finer == 0)
        factor = stride // base
        height, width = (size // factor * factor for size in made[base].shape[-2:])
        views = [made[base][..., i:height:factor, j:width:factor] for i in range(factor) for j in range(factor)]
        made[stride] = sum(views[1:], views[0]) / len(views)
    return made


class PatchSampler(nn.Module):
    """Cuts a square patch around every point: images (B, 3, H, W), points (B, L, 2) -> (B * L, 3, n, n), n = num_samples.

    patch_size: side of a patch in crop pixels (the paper: 30), a multiple of num_samples.
    num_samples: samples along a side. Paper: one a pixel. Here: fewer, because the time falls with their square and the detail lost is
        finer than annotations are. The image is averaged over blocks of stride = patch_size / num_samples pixels first.
    """

    def __init__(self, num_landmarks: int, patch_size: int, num_samples: int) -> None:
        super().__init__()
        if patch_size % num_samples:
            raise ValueError(f"patch size {patch_size} is not a multiple of the number of samples {num_samples}")
        self.num_landmarks, self.num_samples, self.stride = num_landmarks, num_samples, patch_size // num_samples
        offsets = torch.arange(num_samples, dtype=torch.float32) - (num_samples - 1) / 2
        rows, columns = torch.meshgrid(offsets, offsets, indexing="ij")
        self.register_buffer("offsets", torch.stack([columns, rows], -1) * self.stride, persistent=False)  # (n, n, 2)

    def reduce(self, images: Tensor) -> Tensor:
        """The block-averaged image that `forward` samples from; compute it once for several calls on the same images."""
        return block_means(images, [self.stride])[self.stride]

    def forward(self, reduced: Tensor, points: Tensor) -> Tensor:
        height, width = reduced.shape[-2:]
        centres = points[:, :, None, None, :] + self.offsets  # (B, L, n, n, 2) in crop pixels
        # Crop pixel x lies at (x + 0.5) / stride - 0.5 of the reduced image; grid_sample wants (2 * u + 1) / size - 1 of that.
        size = torch.tensor([width, height], dtype=reduced.dtype, device=reduced.device) * self.stride
        grid = (2 * centres + 1) / size - 1
        grid = grid.reshape(-1, self.num_landmarks * self.num_samples, self.num_samples, 2)
        patches = functional.grid_sample(reduced, grid, mode="bilinear", padding_mode="border", align_corners=False)
        # Channels last in memory: the convolutions are twice as fast so.
        patches = patches.permute(0, 2, 3, 1).reshape(-1, self.num_samples, self.num_samples, 3)
        return patches.permute(0, 3, 1, 2)


class PatchEncoder(nn.Module):
    """Appearance feature of every patch (eq. 1): two shared convolutions, then a narrow linear map per landmark.

    Paper (MDM): conv - pool - conv - pool. Here: convolutions of stride 2 without pooling, a quarter of the work.
    Paper: the layers are "a few layers of convolutions, max pooling, ReLU and full connection". Here: the last map has its own weights
    for every landmark, because a corner of the mouth and a point of the jaw look for different things in the same few numbers.
    (B * L, 3, n, n) -> (B, L, feature_size).
    """

    def __init__(self, num_landmarks: int, num_samples: int, channels: tuple[int, int], feature_size: int) -> None:
        super().__init__()
        first, second = channels
        self.num_landmarks = num_landmarks
        self.convolutions = nn.Sequential(
            nn.Conv2d(3, first, 3, stride=2, padding=1),
            nn.BatchNorm2d(first),
            nn.ReLU(inplace=True),
            nn.Conv2d(first, second, 3, stride=2, padding=1),
            nn.BatchNorm2d(second),
            nn.ReLU(inplace=True),
        )
        self.flat_size = second * (-(-num_samples // 4)) ** 2
        self.weight = nn.Parameter(torch.randn(num_landmarks, self.flat_size, feature_size) / self.flat_size**0.5)
        self.bias = nn.Parameter(torch.zeros(num_landmarks, 1, feature_size))

    def forward(self, patches: Tensor) -> Tensor:
        flat = self.convolutions(patches).reshape(-1, self.num_landmarks, self.flat_size)
        narrow = torch.baddbmm(self.bias, flat.transpose(0, 1), self.weight)  # (L, B, feature_size)
        return functional.relu(narrow.transpose(0, 1))


class Confidence(nn.Module):
    """Expected error of every point from a feature, and the probability that the error is small.

    The radial error is modelled as exponential with mean `scale * d`; `nll` trains the scale, the error itself gets no gradient.
    Confidence is P(error < tolerance * d) = 1 - exp(-tolerance / scale).
    """

    tolerance = 0.05

    def __init__(self, feature_size: int, num_landmarks: int) -> None:
        super().__init__()
        self.linear = nn.Linear(feature_size, num_landmarks)
        nn.init.zeros_(self.linear.weight)
        nn.init.constant_(self.linear.bias, -3.0)

    def forward(self, feature: Tensor) -> Tensor:
        """(B, F) -> log scale (B, L), in units of d."""
        return self.linear(feature).clamp(-7.0, 2.0)

    @classmethod
    def probability(cls, log_scale: Tensor) -> Tensor:
        return 1 - torch.exp(-cls.tolerance * torch.exp(-log_scale))
