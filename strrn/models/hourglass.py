"""HGN, the stacked hourglass network (Newell et al., ECCV 2016), with sub-pixel decoding of its heatmaps."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from strrn.models.detection import Detection
from strrn.models.patches import Confidence
from strrn.models.precision import full_precision


class HeatmapCodec(nn.Module):
    """Points to Gaussian heatmaps and back.

    Heatmap cell (i, j) covers the crop around ((j + 0.5) * stride - 0.5, (i + 0.5) * stride - 0.5), stride = crop_size / size.
    """

    def __init__(self, crop_size: int, size: int, sigma: float) -> None:
        super().__init__()
        self.size, self.sigma = size, sigma
        self.stride = crop_size / size
        self.register_buffer("cells", torch.arange(size, dtype=torch.float32), persistent=False)

    def to_heatmap(self, points_crop: Tensor) -> Tensor:
        return (points_crop + 0.5) / self.stride - 0.5

    def to_crop(self, points_heatmap: Tensor) -> Tensor:
        return (points_heatmap + 0.5) * self.stride - 0.5

    def encode(self, points_crop: Tensor) -> Tensor:
        """points_crop (B, L, 2) -> (B, L, size, size), peak 1 at the exact sub-cell place."""
        centre = self.to_heatmap(points_crop)
        dx = self.cells - centre[..., 0:1]
        dy = self.cells - centre[..., 1:2]
        factor = -0.5 / self.sigma**2
        return torch.exp(factor * dy.square())[..., :, None] * torch.exp(factor * dx.square())[..., None, :]

    @full_precision
    def decode(self, heatmaps: Tensor) -> tuple[Tensor, Tensor]:
        """heatmaps (B, L, h, w) -> points_crop (B, L, 2), peak (B, L).

        A parabola through the logarithms of the three columns (rows) around the maximum, each summed over the 3 x 3 neighbourhood:
        exact for a Gaussian of any width, where a centre of mass would be pulled to the middle of its window.
        """
        batch, count = heatmaps.shape[:2]
        peak, index = heatmaps.flatten(2).max(-1)
        # The neighbourhood of a maximum on the rim is moved inside.
        row = (index // self.size).clamp(1, self.size - 2)
        column = (index % self.size).clamp(1, self.size - 2)
        offsets = torch.arange(-1, 2, device=heatmaps.device)
        rows = (row[..., None] + offsets)[..., :, None] * self.size
        columns = (column[..., None] + offsets)[..., None, :]
        near = heatmaps.flatten(2).gather(2, (rows + columns).flatten(2)).reshape(batch, count, 3, 3).clamp(min=1e-4)

        def vertex(sums: Tensor) -> Tensor:
            log = torch.log(sums)
            curvature = (2 * log[..., 1] - log[..., 0] - log[..., 2]).clamp(min=1e-3)
            return (0.5 * (log[..., 2] - log[..., 0]) / curvature).clamp(-1.0, 1.0)

        x = column + vertex(near.sum(-2))
        y = row + vertex(near.sum(-1))
        return self.to_crop(torch.stack([x, y], -1)), peak


class Residual(nn.Module):
    """Pre-activation residual block of two 3 x 3 convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class Hourglass(nn.Module):
    """Symmetric bottom-up, top-down module with a skip at every resolution."""

    def __init__(self, channels: int, depth: int) -> None:
        super().__init__()
        self.skip = Residual(channels)
        self.down = Residual(channels)
        self.inner = Hourglass(channels, depth - 1) if depth > 1 else Residual(channels)
        self.up = Residual(channels)

    def forward(self, x: Tensor) -> Tensor:
        low = self.up(self.inner(self.down(functional.max_pool2d(x, 2))))
        return self.skip(x) + functional.interpolate(low, scale_factor=2.0, mode="nearest")


class HGN(nn.Module):
    """Stacked hourglasses over the whole crop, each followed by heatmaps of all landmarks.

    Paper: 256 channels, 64 x 64 heatmaps of a 256 x 256 image, 8 stacks. Here: widths that a CPU can train.
    """

    def __init__(
        self,
        num_landmarks: int,
        crop_size: int,
        *,
        input_size: int,
        num_stacks: int,
        channels: int,
        depth: int,
        sigma: float,
    ) -> None:
        super().__init__()
        if input_size % (2 ** (depth + 1)):
            raise ValueError(f"input_size {input_size} must be a multiple of {2 ** (depth + 1)} for depth {depth}")
        self.input_size = input_size
        # Halved by averaging first: a plain bilinear reduction by more than two skips pixels, and `antialias` does not export everywhere.
        self.stride = 2 if crop_size >= 2 * input_size else 1
        # What does not fill a block is cut off: the heatmaps cover the rest.
        self.codec = HeatmapCodec(crop_size // self.stride * self.stride, input_size // 2, sigma)
        self.stem = nn.Sequential(
            nn.Conv2d(3, channels, 5, stride=2, padding=2, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1),
        )
        self.hourglasses = nn.ModuleList(Hourglass(channels, depth) for _ in range(num_stacks))
        self.features = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(inplace=True), nn.Conv2d(channels, channels, 1)) for _ in range(num_stacks)
        )
        self.heads = nn.ModuleList(nn.Conv2d(channels, num_landmarks, 1) for _ in range(num_stacks))
        self.remaps = nn.ModuleList(nn.Conv2d(num_landmarks, channels, 1) for _ in range(num_stacks - 1))
        self.confidence = Confidence(num_landmarks, num_landmarks)

    def detect(self, reduced: Tensor) -> Detection:
        """Reduced images in [0, 1] -> points after every stack, log scale of the last one's error, heatmaps of every stack."""
        x = functional.interpolate(reduced, size=(self.input_size, self.input_size), mode="bilinear", align_corners=False)
        x = self.stem(x)
        steps, heatmaps, peak = [], [], None
        for index, (hourglass, features, head) in enumerate(zip(self.hourglasses, self.features, self.heads, strict=True)):
            feature = features(hourglass(x))
            heatmap = head(feature)
            points, peak = self.codec.decode(heatmap)
            steps.append(points)
            heatmaps.append(heatmap)
            if index < len(self.remaps):
                x = x + feature + self.remaps[index](heatmap)
        return Detection(steps=steps, log_scale=self.confidence(peak.detach()), heatmaps=heatmaps)

    def forward(self, reduced: Tensor) -> tuple[Tensor, Tensor]:
        """Reduced images (B, 3, H, W) in [0, 1] -> points_crop (B, L, 2), confidence (B, L)."""
        detection = self.detect(reduced)
        return detection.points, Confidence.probability(detection.log_scale)
