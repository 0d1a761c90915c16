"""MDM, the Mnemonic Descent Method (Trigeorgis et al., CVPR 2016): a recurrent cascade over patches around the current shape."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from strrn.core.landmarks import LandmarkScheme
from strrn.models.detection import Detection
from strrn.models.patches import DISPLACEMENT_UNIT, Confidence, PatchFeatures


class MDM(nn.Module):
    """Starts from the reference shape and adds a displacement in each recurrent step.

    Paper: patches 30 x 30, two convolutions of 32 filters, hidden state 512, four steps; the state is tanh(W [features, state]).
    Here: the features of a patch are narrowed before they are concatenated (see PatchEncoder), each step's displacement is in units of
    the reference shape's `d`, and there is one step for every entry of `patches.sizes`: the first steps look farther, because a landmark
    may lie far outside of a small patch around the reference shape.
    """

    def __init__(
        self,
        scheme: LandmarkScheme,
        reference_shape: Tensor,
        *,
        hidden_size: int,
        patches: Mapping[str, object],
    ) -> None:
        super().__init__()
        count = scheme.num_landmarks
        self.register_buffer("reference_shape", reference_shape.float())
        self.unit = DISPLACEMENT_UNIT * float(scheme.distance(reference_shape.numpy()))
        self.patches = PatchFeatures(count, **patches)
        self.stride = self.patches.stride
        self.hidden_size = hidden_size
        self.recurrent = nn.Linear(self.patches.size + hidden_size, hidden_size)
        self.displacement = nn.Linear(hidden_size, count * 2)
        nn.init.zeros_(self.displacement.bias)
        nn.init.normal_(self.displacement.weight, std=1e-2)
        self.confidence = Confidence(hidden_size, count)

    def detect(self, reduced: Tensor) -> Detection:
        """Reduced images in [0, 1] -> the points after every step and the log scale of the last one's error."""
        batch = reduced.shape[0]
        pixels = self.patches.pixels(reduced)
        points = self.reference_shape.expand(batch, -1, -1)
        state = reduced.new_zeros(batch, self.hidden_size)
        steps = []
        for look in range(len(self.patches)):
            # A step learns from where it starts, not to move the start of the next one: no gradient through the places of the patches.
            points = points.detach()
            features = self.patches(pixels, look, points)
            state = torch.tanh(self.recurrent(torch.cat([features, state], 1)))
            points = points + self.unit * self.displacement(state).reshape(points.shape)
            steps.append(points)
        return Detection(steps=steps, log_scale=self.confidence(state.detach()), heatmaps=[])

    def forward(self, reduced: Tensor) -> tuple[Tensor, Tensor]:
        """Reduced images (B, 3, H, W) in [0, 1] -> points_crop (B, L, 2), confidence (B, L)."""
        detection = self.detect(reduced)
        return detection.points, Confidence.probability(detection.log_scale)
