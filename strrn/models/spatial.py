"""Spatial relational reasoning (STRRN eq. 1 to 3): appearance of patches and geometry of pairs within a face component."""

from enum import Enum

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from strrn.core.landmarks import LandmarkScheme
from strrn.models.patches import PatchEncoder, PatchSampler


class GeometryEncoding(Enum):
    """log: the paper's log of absolute differences (clamped). signed_log: keeps the side, invariant to scale and roll."""

    log = "log"
    signed_log = "signed_log"


class GeometryRelation(nn.Module):
    """Geometry feature of every landmark from its pairs (eq. 2): points (B, L, 2) -> (B, L, feature_size).

    A pair (m, n) of a component is described by the relative vector m - n and both points' vectors to the root (the nose). The
    embeddings of a landmark's pairs (all partners of its component, and the root) are averaged over n.
    Paper: log of absolute pixel differences. Here, by default: sign(v) * log1p(|v| / (knee * d)) on coordinates rotated upright,
    because the plain log is infinite at 0, forgets the side, and changes with scale and roll.
    """

    def __init__(self, scheme: LandmarkScheme, reference_shape: Tensor, encoding: GeometryEncoding, feature_size: int) -> None:
        super().__init__()
        self.encoding, self.root = encoding, scheme.root
        first, second = [], []
        for members in scheme.components.values():
            for m in members:
                for n in members:
                    first.append(m)
                    second.append(n if n != m else scheme.root)
        average = torch.zeros(scheme.num_landmarks, len(first))
        average[torch.tensor(first), torch.arange(len(first))] = 1.0
        average /= average.sum(1, keepdim=True).clamp(min=1.0)
        self.register_buffer("first", torch.tensor(first), persistent=False)
        self.register_buffer("second", torch.tensor(second), persistent=False)
        self.register_buffer("average", average, persistent=False)
        centred = reference_shape.float() - reference_shape.float().mean(0)
        self.register_buffer("centred_reference", centred)
        groups = scheme.normalisers[scheme.method_normaliser]
        weights = torch.zeros(scheme.num_landmarks)
        weights[list(groups[0])] += 1 / len(groups[0])
        weights[list(groups[1])] -= 1 / len(groups[1])
        self.register_buffer("distance_weights", weights, persistent=False)
        self.embed = nn.Linear(8, feature_size)

    def distance(self, points: Tensor) -> Tensor:
        """d of every shape: points (B, L, 2) -> (B,)."""
        return torch.linalg.vector_norm((points * self.distance_weights[:, None]).sum(1), dim=-1).clamp(min=1.0)

    def upright(self, points: Tensor) -> Tensor:
        """points rotated about their mean onto the reference shape, in units of d."""
        centred = points - points.mean(1, keepdim=True)
        reference = self.centred_reference
        cosine = (centred * reference).sum((1, 2))
        sine = (centred[..., 0] * reference[:, 1] - centred[..., 1] * reference[:, 0]).sum(1)
        norm = torch.sqrt(cosine.square() + sine.square()).clamp(min=1e-6)
        c, s = (cosine / norm)[:, None], (sine / norm)[:, None]
        x, y = centred[..., 0], centred[..., 1]
        return torch.stack([c * x - s * y, s * x + c * y], -1) / self.distance(points)[:, None, None]

    def forward(self, points: Tensor) -> Tensor:
        if self.encoding is GeometryEncoding.signed_log:
            shape = self.upright(points)
            knee = 0.1

            def encode(v: Tensor) -> Tensor:
                return torch.sign(v) * torch.log1p(v.abs() / knee)

        else:
            shape = points

            def encode(v: Tensor) -> Tensor:
                return torch.log(v.abs().clamp(min=1.0))

        pose = encode(shape - shape[:, self.root : self.root + 1])
        relative = shape[:, self.first] - shape[:, self.second]
        phi_m = torch.cat([encode(relative), pose[:, self.first]], -1)
        phi_n = torch.cat([encode(-relative), pose[:, self.second]], -1)
        pairs = functional.relu(self.embed(torch.cat([phi_m, phi_n], -1)))  # (B, P, feature_size)
        return torch.matmul(self.average, pairs)


class SpatialModule(nn.Module):
    """f_SR (eq. 3): geometry of all components and appearance of all patches, concatenated to (B, size)."""

    def __init__(
        self,
        scheme: LandmarkScheme,
        reference_shape: Tensor,
        *,
        geometry: GeometryEncoding,
        geometry_feature_size: int,
        patch_size: int,
        patch_samples: int,
        patch_channels: tuple[int, int],
        patch_feature_size: int,
    ) -> None:
        super().__init__()
        count = scheme.num_landmarks
        self.sampler = PatchSampler(count, patch_size, patch_samples)
        self.encoder = PatchEncoder(count, patch_samples, patch_channels, patch_feature_size)
        self.relation = GeometryRelation(scheme, reference_shape, geometry, geometry_feature_size)
        self.size = count * (patch_feature_size + geometry_feature_size)

    def forward(self, reduced: Tensor, points: Tensor) -> Tensor:
        appearance = self.encoder(self.sampler(reduced, points))
        return torch.cat([self.relation(points).flatten(1), appearance.flatten(1)], 1)


def reference_tensor(reference_shape: np.ndarray | list) -> Tensor:
    return torch.as_tensor(np.asarray(reference_shape, np.float32))
