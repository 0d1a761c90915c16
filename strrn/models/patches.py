"""Patches around landmarks, and the small network that turns each into an appearance feature (STRRN eq. 1, MDM)."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from strrn.core.landmarks import CONFIDENCE_TOLERANCE

# The networks put out displacements in tenths of d: typical ones are then of the order of 1, which is what Adam's step size suits.
DISPLACEMENT_UNIT = 0.1
MIDDLE = 0.5  # of the range of pixels
CONTRAST = 0.25  # of normalised patches: about what patches of faces have


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


def reduce(images: Tensor, stride: int) -> Tensor:
    """Crops (B, 3, H, W) to what a network with this `stride` reads. Compute it once for several looks at the same images."""
    return block_means(images, [stride])[stride]


class PatchSampler(nn.Module):
    """Cuts an upright square patch around every point: images (B, 3, H, W), points (B, L, 2) -> (B, L, n * n / block^2, 3 * block^2).

    Pixels in [0, 1] come as [-0.5, 0.5]: networks train much faster on values about 0.
    A patch of n x n samples comes as its blocks of block x block samples, row by row, which is what PatchEncoder reads.
    patch_size: side of a patch in crop pixels (the paper: 30), a multiple of num_samples.
    num_samples: samples along a side. Paper: one a pixel. Here: fewer, because the time falls with their square and the detail lost is
        finer than annotations are. The image is averaged over blocks of stride = patch_size / num_samples pixels first.
    """

    def __init__(self, num_landmarks: int, patch_size: int, num_samples: int, block: int) -> None:
        super().__init__()
        if patch_size % num_samples:
            raise ValueError(f"patch size {patch_size} is not a multiple of the number of samples {num_samples}")
        if num_samples % block:
            raise ValueError(f"the number of samples {num_samples} is not a multiple of the block's {block}")
        self.num_landmarks, self.block, self.stride = num_landmarks, block, patch_size // num_samples
        self.blocks = num_samples // block  # along a side
        offsets = torch.arange(num_samples, dtype=torch.float32) - (num_samples - 1) / 2
        rows, columns = torch.meshgrid(offsets, offsets, indexing="ij")
        offsets = torch.stack([columns, rows], -1).unflatten(0, (-1, block)).unflatten(2, (-1, block)).transpose(1, 2)
        self.register_buffer("offsets", offsets.reshape(-1, 2), persistent=False)  # (n * n, 2), block by block

    def forward(self, reduced: Tensor, points: Tensor) -> Tensor:
        # Crop pixel x lies at (x + 0.5) / stride - 0.5 of the reduced image.
        places = (points + 0.5) / self.stride - 0.5
        # torch samples a grid faster than it gathers, onnxruntime the other way round, each by a factor of four.
        patches = self._gathered(reduced, places) if torch.compiler.is_exporting() else self._sampled(reduced, places)
        return patches - MIDDLE

    def _sampled(self, reduced: Tensor, places: Tensor) -> Tensor:
        size = torch.tensor(reduced.shape[:1:-1], dtype=reduced.dtype, device=reduced.device)  # width, height
        grid = (2 * (places[:, :, None] + self.offsets) + 1) / size - 1  # (B, L, n * n, 2)
        grid = grid.reshape(-1, self.num_landmarks * self.blocks**2, self.block**2, 2)
        samples = functional.grid_sample(reduced, grid, mode="bilinear", padding_mode="border", align_corners=False)
        return samples.permute(0, 2, 3, 1).reshape(-1, self.num_landmarks, self.blocks**2, 3 * self.block**2)

    def _gathered(self, reduced: Tensor, places: Tensor) -> Tensor:
        """The same: all samples of a patch lie equally far between their pixels, so four windows of pixels are mixed by four weights."""
        batch, _, height, width = reduced.shape
        first = places + self.offsets[0]  # of the upper left sample
        corner = first.floor()
        along_x, along_y = (first - corner)[..., None, None, None].unbind(2)
        steps = torch.arange(self.blocks * self.block + 1, dtype=reduced.dtype)
        column = (corner[..., 0:1] + steps).clamp(0, width - 1).long()
        row = (corner[..., 1:2] + steps).clamp(0, height - 1).long() * width + (torch.arange(batch) * (height * width))[:, None, None]
        index = row[..., :, None] + column[..., None, :]
        pixels = reduced.permute(0, 2, 3, 1).reshape(-1, 3)
        window = pixels.index_select(0, index.reshape(-1)).reshape(*index.shape, 3)  # (B, L, n + 1, n + 1, 3)
        left, upper = window[:, :, :, :-1], slice(None, -1)
        window = left + (window[:, :, :, 1:] - left) * along_x
        window = window[:, :, upper] + (window[:, :, 1:] - window[:, :, upper]) * along_y
        window = window.unflatten(2, (self.blocks, self.block)).unflatten(4, (self.blocks, self.block)).transpose(3, 4)
        return window.reshape(-1, self.num_landmarks, self.blocks**2, 3 * self.block**2)


def normalised(patches: Tensor, floor: float) -> Tensor:
    """Patches of PatchSampler without their mean colour, and with one contrast: the light that falls on a face, its shadows and the tone of
    the skin are left out, the edges stay.

    floor: the contrast, in the range of pixels, below which a patch is mostly noise and is not brought up to the others'.
    """
    samples = patches.shape[3] // 3
    of_colour = torch.eye(3, dtype=patches.dtype, device=patches.device).repeat(samples, samples) / samples
    colour = patches.mean(2, keepdim=True) @ of_colour  # a product is several times faster than a mean over a stride of 3
    edges = patches - colour
    contrast = (edges.square().mean((2, 3), keepdim=True) + floor**2).sqrt()  # of a difference of squares bfloat16 would make NaN
    return edges * (CONTRAST / contrast)


class PatchEncoder(nn.Module):
    """Appearance feature of every patch (eq. 1): two shared convolutions, then a narrow linear map per landmark.

    Paper: "a few layers of convolutions, max pooling, ReLU and full connection"; MDM: conv - pool - conv - pool. Here: the first
    convolution's windows do not overlap (they are the sampler's blocks) and the second one sees the whole patch, so both are matrix
    products, which a CPU does several times faster than convolutions of small pictures. The last map has its own weights for every
    landmark, because a corner of the mouth and a point of the jaw look for different things in the same few numbers. Features are
    normalised patch by patch: statistics of a batch would differ between patch sizes, and between stills and pairs of video frames.
    patches (B, L, blocks, samples of a block) -> (B, L, feature_size).
    """

    def __init__(self, sampler: PatchSampler, channels: tuple[int, int], feature_size: int) -> None:
        super().__init__()
        first, second = channels
        self.first = nn.Linear(3 * sampler.block**2, first)
        self.second = nn.Linear(sampler.blocks**2 * first, second)
        self.norm = nn.LayerNorm(second)
        self.weight = nn.Parameter(torch.randn(sampler.num_landmarks, second, feature_size) / second**0.5)
        self.bias = nn.Parameter(torch.zeros(sampler.num_landmarks, 1, feature_size))

    def forward(self, patches: Tensor) -> Tensor:
        count, channels = len(self.weight), self.weight.shape[1]
        # Rows of two axes: writing in place on a view of three would cost two copies on the way back.
        blocks = functional.relu(self.first(patches.reshape(-1, patches.shape[-1])), inplace=True)
        rows = blocks.reshape(-1, self.second.in_features)
        features = functional.relu(self.norm(self.second(rows)), inplace=True).reshape(-1, count, channels)
        narrow = torch.baddbmm(self.bias, features.transpose(0, 1), self.weight)  # (L, B, feature_size)
        return functional.relu(narrow.transpose(0, 1))


class PatchFeatures(nn.Module):
    """Appearance of the patches around points: samplers of several sizes, and one encoder for all of them.

    Every size is sampled in the same number of steps, so that a network that looks several times, from coarse to fine, has one encoder to
    train. sizes: sides of the patches in crop pixels, multiples of the smallest; samples, block, channels, feature_size: see PatchSampler
    and PatchEncoder. contrast_floor: see `normalised`; 0: patches as they are, as in the papers, and as of models whose
    header says nothing of it.
    """

    def __init__(
        self,
        num_landmarks: int,
        *,
        sizes: Sequence[int],
        samples: int,
        block: int,
        channels: tuple[int, int],
        feature_size: int,
        contrast_floor: float = 0.0,
    ) -> None:
        super().__init__()
        self.contrast_floor = contrast_floor
        self.samplers = nn.ModuleList(PatchSampler(num_landmarks, size, samples, block) for size in sizes)
        self.encoder = PatchEncoder(self.samplers[0], channels, feature_size)
        strides = [sampler.stride for sampler in self.samplers]
        self.stride = min(strides)
        self.coarser = [stride // self.stride for stride in strides]
        if any(stride % self.stride for stride in strides):
            raise ValueError(f"patch sizes {list(sizes)} must be multiples of the smallest")
        self.size = num_landmarks * feature_size

    def __len__(self) -> int:
        return len(self.samplers)

    def pixels(self, reduced: Tensor) -> list[Tensor]:
        """Reduced images -> the image that each size samples."""
        means = block_means(reduced, self.coarser)
        return [means[coarser] for coarser in self.coarser]

    def forward(self, pixels: list[Tensor], look: int, points: Tensor) -> Tensor:
        """Features (B, size) of the patches of size number `look` around points (B, L, 2)."""
        patches = self.samplers[look](pixels[look], points)
        if self.contrast_floor:
            patches = normalised(patches, self.contrast_floor)
        return self.encoder(patches).flatten(1)


class Confidence(nn.Module):
    """Expected error of every point from a feature, and the probability that the error is small.

    The radial error is modelled as exponential with mean `scale * d`; `nll` trains the scale, the error itself gets no gradient.
    Confidence is P(error < CONFIDENCE_TOLERANCE * d) = 1 - exp(-CONFIDENCE_TOLERANCE / scale).
    """

    def __init__(self, feature_size: int, num_landmarks: int) -> None:
        super().__init__()
        self.linear = nn.Linear(feature_size, num_landmarks)
        nn.init.zeros_(self.linear.weight)
        nn.init.constant_(self.linear.bias, -3.0)

    def forward(self, feature: Tensor) -> Tensor:
        """(B, F) -> log scale (B, L), in units of d."""
        return self.linear(feature).clamp(-7.0, 2.0)

    @staticmethod
    def probability(log_scale: Tensor) -> Tensor:
        return 1 - torch.exp(-CONFIDENCE_TOLERANCE * torch.exp(-log_scale))
