"""GHCU, the global heatmap correction unit: landmarks that a heatmap network is not sure of, from the heatmaps of the others.

Of the paper ("Semantic Alignment: Finding Semantically Consistent Ground-truth for Facial Landmark Detection") the abstract is at hand:
landmarks that are predicted without confidence, for occlusion or low quality, are corrected by considering the global face shape.
Structure and training are chosen here.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from strrn.models import checkpoint
from strrn.models.detection import Detection
from strrn.models.hourglass import HGN
from strrn.models.patches import Confidence
from strrn.models.precision import full_precision

ARCHITECTURE = "hgn_ghcu"


@dataclass(frozen=True)
class GHCUParameters:
    """See GHCU and CorrectedDetector. threshold: of a heatmap's peak, as a share of the landmark's usual one;
    below it, a landmark is not trusted."""

    hidden_size: int
    threshold: float

    def __post_init__(self) -> None:
        if self.hidden_size < 1:
            raise ValueError(f"hidden_size must be at least 1, found {self.hidden_size}")
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold must lie in [0, 1], found {self.threshold}: 1 is the usual peak")


class GHCU(nn.Module):
    """Heatmaps of trusted landmarks to the coordinates of all of them, through the shape of the whole face.

    Of every heatmap the two profiles are read, its largest values along columns and along rows: they hold where and how wide its peak is.
    Two hidden layers see the profiles of all landmarks, and answer displacements from the reference shape in units of its d. A
    convolution over all maps, which the paper may have, would cost as much as the network that drew them.
    """

    def __init__(self, reference_shape: Tensor, distance: float, map_size: int, hidden_size: int) -> None:
        super().__init__()
        self.register_buffer("reference_shape", reference_shape, persistent=False)
        self.distance = distance
        num_landmarks = len(reference_shape)
        self.layers = nn.Sequential(
            nn.Linear(num_landmarks * (2 * map_size + 1), hidden_size),
            nn.ReLU(inplace=True),
            nn.Linear(hidden_size, hidden_size),
            nn.ReLU(inplace=True),
            nn.Linear(hidden_size, 2 * num_landmarks),
        )
        nn.init.zeros_(self.layers[-1].weight)
        nn.init.zeros_(self.layers[-1].bias)

    @full_precision
    def forward(self, heatmaps: Tensor, trusted: Tensor) -> Tensor:
        """heatmaps (B, L, h, w), trusted (B, L) bool, the others are not read -> points_crop (B, L, 2)."""
        heatmaps = heatmaps.clamp(min=0)
        profiles = torch.cat([heatmaps.amax(-2), heatmaps.amax(-1), torch.ones_like(heatmaps[..., 0, :1])], -1)
        moves = self.layers((profiles * trusted[..., None]).flatten(1))
        return self.reference_shape + self.distance * moves.unflatten(1, (-1, 2))


class CorrectedDetector(nn.Module):
    """A frozen heatmap detector and its GHCU, which replaces the landmarks whose peak is below `threshold` times the landmark's usual one.

    Paper: landmarks predicted without confidence. Here: beside what is usual, because maps of a landmark whose labels scatter are low and
    wide everywhere. usual_peaks (L,) is a buffer, 1 until it is set.
    """

    def __init__(self, detector: HGN, ghcu: GHCU, threshold: float) -> None:
        super().__init__()
        self.detector, self.ghcu, self.threshold = detector.requires_grad_(False).eval(), ghcu, threshold
        self.register_buffer("usual_peaks", torch.ones_like(ghcu.reference_shape[:, 0]))
        self.stride = detector.stride

    def train(self, mode: bool = True) -> "CorrectedDetector":
        """The detector's running statistics stay as they are."""
        super().train(mode)
        self.detector.eval()
        return self

    def look(self, reduced: Tensor) -> tuple[Detection, Tensor]:
        """The detector's answer to reduced images in [0, 1], and which landmarks are trusted (B, L)."""
        with torch.no_grad():
            found = self.detector.detect(reduced)
        return found, found.heatmaps[-1].flatten(2).amax(-1) >= self.threshold * self.usual_peaks

    def detect(self, reduced: Tensor) -> Detection:
        """As HGN's, with the last step corrected."""
        found, trusted = self.look(reduced)
        points = torch.where(trusted[..., None], found.points, self.ghcu(found.heatmaps[-1], trusted))
        return Detection([*found.steps[:-1], points], found.log_scale, found.heatmaps)

    def forward(self, reduced: Tensor) -> tuple[Tensor, Tensor]:
        """Reduced images (B, 3, H, W) in [0, 1] -> points_crop (B, L, 2), confidence (B, L), which is the detector's."""
        detection = self.detect(reduced)
        return detection.points, Confidence.probability(detection.log_scale)


def corrected_header(header: dict, parameters: GHCUParameters) -> dict:
    """The header of a detector's checkpoint -> that of the detector with a GHCU."""
    return {
        **header,
        "architecture": ARCHITECTURE,
        "parameters": {"hgn": header["parameters"], "hidden_size": parameters.hidden_size, "threshold": parameters.threshold},
    }


def build_corrected(header: dict) -> CorrectedDetector:
    """The untrained network that a header describes, for `checkpoint.load`. Raises ValueError for another architecture."""
    if header.get("architecture") != ARCHITECTURE:
        raise ValueError(f"architecture {header.get('architecture')!r}: expected {ARCHITECTURE!r}")
    parameters = header["parameters"]
    detector = checkpoint.build({**header, "architecture": "hgn", "parameters": parameters["hgn"]})
    scheme = checkpoint.scheme_from_dict(header["scheme"])
    shape = torch.tensor(header["reference_shape"], dtype=torch.float32)
    ghcu = GHCU(shape, float(scheme.distance(shape.numpy())), detector.codec.size, parameters["hidden_size"])
    return CorrectedDetector(detector, ghcu, parameters["threshold"])
