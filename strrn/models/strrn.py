"""The STRRN tracker: spatial features around the previous shape, and the displacement to the next one (STRRN eq. 4)."""

from torch import Tensor, nn

from strrn.core.landmarks import LandmarkScheme
from strrn.models.mdm import DISPLACEMENT_UNIT
from strrn.models.spatial import GeometryEncoding, SpatialModule


class STRRN(nn.Module):
    """p^t = p^{t-1} + d * NN(f_SR(I^t, p^{t-1})); one network for both directions of time.

    Paper: NN is "a few layers of convolutions, max pooling, ReLU and full connection". Here: the convolutions are those of the patches,
    the temporal network is two fully connected layers.
    """

    def __init__(
        self,
        scheme: LandmarkScheme,
        reference_shape: Tensor,
        *,
        hidden_size: int,
        geometry: str,
        geometry_feature_size: int,
        patch_size: int,
        patch_samples: int,
        patch_channels: tuple[int, int],
        patch_feature_size: int,
    ) -> None:
        super().__init__()
        self.spatial = SpatialModule(
            scheme,
            reference_shape,
            geometry=GeometryEncoding(geometry),
            geometry_feature_size=geometry_feature_size,
            patch_size=patch_size,
            patch_samples=patch_samples,
            patch_channels=patch_channels,
            patch_feature_size=patch_feature_size,
        )
        self.temporal = nn.Sequential(
            nn.Linear(self.spatial.size, hidden_size), nn.ReLU(inplace=True), nn.Linear(hidden_size, scheme.num_landmarks * 2)
        )
        nn.init.zeros_(self.temporal[-1].bias)
        nn.init.normal_(self.temporal[-1].weight, std=1e-2)

    def reduce(self, images: Tensor) -> Tensor:
        """What `step` needs of the images; compute it once where the same image is stepped on several times."""
        return self.spatial.sampler.reduce(images)

    def step(self, reduced: Tensor, start_points: Tensor) -> Tensor:
        """One step on reduced images: start_points (B, L, 2) -> points_crop (B, L, 2)."""
        displacement = self.temporal(self.spatial(reduced, start_points)).reshape(start_points.shape)
        unit = DISPLACEMENT_UNIT * self.spatial.relation.distance(start_points)
        return start_points + unit[:, None, None] * displacement

    def forward(self, images: Tensor, start_points: Tensor) -> Tensor:
        """images (B, 3, H, W) in [0, 1], start_points_crop (B, L, 2) -> points_crop (B, L, 2)."""
        return self.step(self.reduce(images), start_points)
