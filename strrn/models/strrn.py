"""The STRRN tracker: spatial features around the previous shape, and the displacement to the next one (STRRN eq. 4)."""

from collections.abc import Sequence

from torch import Tensor, nn

from strrn.core.landmarks import LandmarkScheme
from strrn.models.mdm import DISPLACEMENT_UNIT
from strrn.models.patches import block_means
from strrn.models.spatial import GeometryEncoding, SpatialModule


class STRRN(nn.Module):
    """p^t = p^{t-1} + d * NN(f_SR(I^t, p^{t-1})); one network for both directions of time.

    Paper: one pass with patches of 30 x 30; NN is "a few layers of convolutions, max pooling, ReLU and full connection". Here: one pass for
    every entry of `patch_sizes` (`[30]` is the paper's), from coarse to fine, each from where the one before ended. A face may move by a
    fifth of d between frames, out of a small patch, and one pass that sees half of the motion lags behind. The convolutions are those of the
    patches, the temporal network is two fully connected layers.
    """

    def __init__(
        self,
        scheme: LandmarkScheme,
        reference_shape: Tensor,
        *,
        hidden_size: int,
        geometry: str,
        geometry_feature_size: int,
        patch_sizes: Sequence[int],
        patch_samples: int,
        patch_channels: tuple[int, int],
        patch_feature_size: int,
    ) -> None:
        super().__init__()
        self.spatial = nn.ModuleList(
            SpatialModule(
                scheme,
                reference_shape,
                geometry=GeometryEncoding(geometry),
                geometry_feature_size=geometry_feature_size,
                patch_size=patch_size,
                patch_samples=patch_samples,
                patch_channels=patch_channels,
                patch_feature_size=patch_feature_size,
            )
            for patch_size in patch_sizes
        )
        self.temporal = nn.ModuleList(
            nn.Sequential(nn.Linear(spatial.size, hidden_size), nn.ReLU(inplace=True), nn.Linear(hidden_size, scheme.num_landmarks * 2))
            for spatial in self.spatial
        )
        for temporal in self.temporal:
            nn.init.zeros_(temporal[-1].bias)
            nn.init.normal_(temporal[-1].weight, std=1e-2)
        strides = [spatial.sampler.stride for spatial in self.spatial]
        self.finest = min(strides)
        self.coarser = [stride // self.finest for stride in strides]
        if any(stride % self.finest for stride in strides):
            raise ValueError(f"patch_sizes {list(patch_sizes)} must be multiples of the smallest")

    def reduce(self, images: Tensor) -> Tensor:
        """What `step` needs of the images; compute it once where the same image is stepped on several times."""
        return block_means(images, [self.finest])[self.finest]

    def passes(self, reduced: Tensor, start_points: Tensor) -> list[Tensor]:
        """The points (B, L, 2) after every pass on reduced images; the last is the answer."""
        pixels = block_means(reduced, self.coarser)
        points, ends = start_points, []
        for spatial, temporal, coarser in zip(self.spatial, self.temporal, self.coarser, strict=True):
            displacement = temporal(spatial(pixels[coarser], points)).reshape(points.shape)
            points = points + DISPLACEMENT_UNIT * spatial.relation.distance(points)[:, None, None] * displacement
            ends.append(points)
        return ends

    def step(self, reduced: Tensor, start_points: Tensor) -> Tensor:
        """From one frame to its neighbour, on reduced images: start_points (B, L, 2) -> points_crop (B, L, 2)."""
        return self.passes(reduced, start_points)[-1]

    def forward(self, images: Tensor, start_points: Tensor) -> Tensor:
        """images (B, 3, H, W) in [0, 1], start_points_crop (B, L, 2) -> points_crop (B, L, 2)."""
        return self.step(self.reduce(images), start_points)
