"""The STRRN tracker: spatial features around the previous shape, and the displacement to the next one (STRRN eq. 4)."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from strrn.core.landmarks import LandmarkScheme
from strrn.models.patches import DISPLACEMENT_UNIT, PatchFeatures
from strrn.models.spatial import CanonicalFrame, GeometryEncoding, GeometryRelation, SpatialModule


class Displacement(nn.Module):
    """The temporal network NN of one pass: spatial feature (B, F) and deviation of the shape (B, L, 2), both upright, and the rotation and
    scale (B, 2, 2) of the face -> displacement (B, L, 2)."""

    def __init__(self, feature_size: int, coordinates: int, hidden_size: int, shape_prior: bool) -> None:
        super().__init__()
        size = feature_size + coordinates if shape_prior else feature_size
        self.temporal = nn.Sequential(nn.Linear(size, hidden_size), nn.ReLU(inplace=True), nn.Linear(hidden_size, coordinates))
        nn.init.zeros_(self.temporal[-1].bias)
        nn.init.normal_(self.temporal[-1].weight, std=1e-2)
        self.prior = nn.Linear(coordinates, coordinates, bias=False) if shape_prior else None
        if self.prior is not None:
            nn.init.zeros_(self.prior.weight)

    def forward(self, feature: Tensor, deviation: Tensor, linear: Tensor) -> Tensor:
        if self.prior is None:
            return self.temporal(feature).reshape(deviation.shape)
        flat = deviation.flatten(1)
        seen = self.temporal(torch.cat([feature, flat], 1)).reshape(deviation.shape)
        # The patches are upright in the image, and so is what is seen in them; the shape is pulled back along its own axes.
        return seen + torch.matmul(self.prior(flat).reshape(deviation.shape), linear.transpose(1, 2))


class STRRN(nn.Module):
    """p^t = p^{t-1} + d * NN(f_SR(I^t, p^{t-1})); one network for both directions of time.

    Paper: one pass with patches of 30 x 30; NN is "a few layers of convolutions, max pooling, ReLU and full connection". Here: one pass for
    every entry of `patches.sizes` (`[30]` is the paper's), from coarse to fine, each from where the one before ended. A face may move by a
    fifth of d between frames, out of a small patch, and one pass that sees half of the motion lags behind. The convolutions are those of the
    patches, the temporal network is two fully connected layers.

    shape_prior: NN also gets the deviation of the shape from the reference shape, and adds a linear function of it. Paper: no; there the
    network knows the shape only through logarithms of distances, too coarse to see a deviation of a few percent of d. What no patch tells
    then adds up from frame to frame, and the shape drifts away on a face that stands still; with it, the shape is pulled back.
    appearance_memory: NN also gets the features of the finest patches about the points in the frame before (`remember`). Paper: no.
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
        patches: Mapping[str, object],
        appearance_memory: bool = False,
    ) -> None:
        super().__init__()
        distance = float(scheme.distance(reference_shape.numpy()))
        self.unit = DISPLACEMENT_UNIT * distance
        self.frame = CanonicalFrame(reference_shape)
        encoding = GeometryEncoding(geometry)
        relation = None if encoding is GeometryEncoding.none else GeometryRelation(scheme, encoding, distance, geometry_feature_size)
        self.spatial = SpatialModule(PatchFeatures(scheme.num_landmarks, **patches), relation)
        self.appearance_memory = appearance_memory
        size = self.spatial.size + (self.spatial.patches.size if appearance_memory else 0)
        self.displacements = nn.ModuleList(
            Displacement(size, reference_shape.numel(), hidden_size, shape_prior) for _ in self.spatial.patches.samplers
        )
        self.stride = self.spatial.patches.stride

    def start_from(self, detector: nn.Module) -> None:
        """Take over the patch encoder of a detector that has one (MDM), before training: half of the epochs are enough then.

        Raises ValueError where the two encoders differ in size.
        """
        try:
            self.spatial.patches.encoder.load_state_dict(detector.patches.encoder.state_dict())
        except RuntimeError as error:
            cure = "make strrn.patches and mdm.patches equal but for their sizes, or set pretrain.encoder to own"
            raise ValueError(f"the detector's patch encoder does not fit the tracker: {cure}. {error}") from error

    @torch.no_grad()
    def remember(self, reduced: Tensor, points: Tensor) -> Tensor | None:
        """What a frame shows about points (B, L, 2), for the step to the next: (B, F) without gradient; None without appearance memory."""
        if not self.appearance_memory:
            return None
        patches = self.spatial.patches
        return patches(patches.pixels(reduced), len(patches) - 1, points)

    def passes(self, reduced: Tensor, start_points: Tensor, memory: Tensor | None = None, through: bool = False) -> list[Tensor]:
        """The points (B, L, 2) after every pass on reduced images; the last is the answer.

        memory: of the frame before, see `remember`; None: what stands about the start now.
        through: do gradients reach the points that a pass looks from through what it sees there? No: a pass learns from where it
        starts, not to move the start of the next one, and training is faster.
        """
        pixels = self.spatial.patches.pixels(reduced)
        if memory is None:
            memory = self.remember(reduced, start_points)
        points, ends = start_points, []
        for look, displacement in enumerate(self.displacements):
            at = points if through else points.detach()
            canonical, linear = self.frame(at)
            deviation = (canonical - self.frame.reference) / self.unit
            feature = self.spatial(pixels, look, at, canonical)
            if memory is not None:
                feature = torch.cat([feature, memory], 1)
            points = points + self.unit * displacement(feature, deviation, linear)
            ends.append(points)
        return ends

    def step(self, reduced: Tensor, start_points: Tensor, memory: Tensor | None = None, through: bool = False) -> Tensor:
        """From one frame to its neighbour, on reduced images: start_points (B, L, 2) -> points_crop (B, L, 2). See `passes`."""
        return self.passes(reduced, start_points, memory, through)[-1]

    def forward(
        self, reduced: Tensor, start_points: Tensor, reduced_before: Tensor | None = None, points_before: Tensor | None = None
    ) -> Tensor:
        """Reduced images (B, 3, H, W) in [0, 1], start_points_crop (B, L, 2) -> points_crop (B, L, 2).

        reduced_before, points_before: the frame that the start comes from, and the points there, in its own crop; for appearance memory.
        """
        memory = None if reduced_before is None else self.remember(reduced_before, points_before)
        return self.step(reduced, start_points, memory)
