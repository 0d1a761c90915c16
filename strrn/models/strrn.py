"""The STRRN tracker: spatial features around the previous shape, and the displacement to the next one (STRRN eq. 4)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from strrn.core.landmarks import LandmarkScheme
from strrn.models.patches import DISPLACEMENT_UNIT, block_means
from strrn.models.spatial import CanonicalFrame, GeometryEncoding, SpatialModule


class Pass(nn.Module):
    """One look around the points and the displacement that follows from it."""

    def __init__(
        self, spatial: SpatialModule, reference_shape: Tensor, reference_distance: float, hidden_size: int, shape_prior: bool
    ) -> None:
        super().__init__()
        self.spatial, self.frame = spatial, CanonicalFrame(reference_shape)
        self.unit, coordinates = DISPLACEMENT_UNIT * reference_distance, reference_shape.numel()
        size = spatial.size + coordinates if shape_prior else spatial.size
        self.temporal = nn.Sequential(nn.Linear(size, hidden_size), nn.ReLU(inplace=True), nn.Linear(hidden_size, coordinates))
        nn.init.zeros_(self.temporal[-1].bias)
        nn.init.normal_(self.temporal[-1].weight, std=1e-2)
        self.prior = nn.Linear(coordinates, coordinates, bias=False) if shape_prior else None
        if self.prior is not None:
            nn.init.zeros_(self.prior.weight)

    def forward(self, reduced: Tensor, points: Tensor) -> Tensor:
        """The displacement (B, L, 2) in crop pixels."""
        canonical, linear = self.frame(points)
        feature = self.spatial(reduced, points, canonical, linear)
        if self.prior is None:
            displacement = self.temporal(feature)
        else:
            deviation = (canonical - self.frame.reference).flatten(1) / self.unit
            displacement = self.temporal(torch.cat([feature, deviation], 1)) + self.prior(deviation)
        return torch.matmul(self.unit * displacement.reshape(points.shape), linear.transpose(1, 2))


class STRRN(nn.Module):
    """p^t = p^{t-1} + d * NN(f_SR(I^t, p^{t-1})); one network for both directions of time.

    Paper: one pass with patches of 30 x 30; NN is "a few layers of convolutions, max pooling, ReLU and full connection". Here: one pass for
    every entry of `patch_sizes` (`[30]` is the paper's), from coarse to fine, each from where the one before ended. A face may move by a
    fifth of d between frames, out of a small patch, and one pass that sees half of the motion lags behind. The convolutions are those of the
    patches, the temporal network is two fully connected layers.

    shape_prior: NN also gets the deviation of the shape from the reference shape, and adds a linear function of it. Paper: no; there the
    network knows the shape only through logarithms of distances, too coarse to see a deviation of a few percent of d. What no patch tells
    then adds up from frame to frame, and the shape drifts away on a face that stands still; with it, the shape is pulled back.
    """

    def __init__(
        self,
        scheme: LandmarkScheme,
        reference_shape: Tensor,
        *,
        hidden_size: int,
        geometry: str,
        geometry_feature_size: int,
        shape_prior: bool,
        patch_sizes: Sequence[int],
        patch_samples: int,
        patch_block: int,
        patch_channels: tuple[int, int],
        patch_feature_size: int,
    ) -> None:
        super().__init__()
        reference_distance = float(scheme.distance(reference_shape.numpy()))

        def one_pass(patch_size: int) -> Pass:
            spatial = SpatialModule(
                scheme,
                reference_distance,
                geometry=GeometryEncoding(geometry),
                geometry_feature_size=geometry_feature_size,
                patch_size=patch_size,
                patch_samples=patch_samples,
                patch_block=patch_block,
                patch_channels=patch_channels,
                patch_feature_size=patch_feature_size,
            )
            return Pass(spatial, reference_shape, reference_distance, hidden_size, shape_prior)

        self.looks = nn.ModuleList(one_pass(patch_size) for patch_size in patch_sizes)
        strides = [look.spatial.sampler.stride for look in self.looks]
        self.stride = min(strides)
        self.coarser = [stride // self.stride for stride in strides]
        if any(stride % self.stride for stride in strides):
            raise ValueError(f"patch_sizes {list(patch_sizes)} must be multiples of the smallest")

    def reduce(self, images: Tensor) -> Tensor:
        """What `step` needs of the images: means of blocks of `stride` pixels. Compute it once for several steps on the same images."""
        return block_means(images, [self.stride])[self.stride]

    def passes(self, reduced: Tensor, start_points: Tensor, through: bool = False) -> list[Tensor]:
        """The points (B, L, 2) after every pass on reduced images; the last is the answer.

        through: do gradients reach the points that a pass looks from through what it sees there? No: a pass learns from where it
        starts, not to move the start of the next one, and training is faster.
        """
        pixels = block_means(reduced, self.coarser)
        points, ends = start_points, []
        for look, coarser in zip(self.looks, self.coarser, strict=True):
            points = points + look(pixels[coarser], points if through else points.detach())
            ends.append(points)
        return ends

    def step(self, reduced: Tensor, start_points: Tensor, through: bool = False) -> Tensor:
        """From one frame to its neighbour, on reduced images: start_points (B, L, 2) -> points_crop (B, L, 2)."""
        return self.passes(reduced, start_points, through)[-1]

    def forward(self, images: Tensor, start_points: Tensor) -> Tensor:
        """images (B, 3, H, W) in [0, 1], start_points_crop (B, L, 2) -> points_crop (B, L, 2)."""
        return self.step(self.reduce(images), start_points)
