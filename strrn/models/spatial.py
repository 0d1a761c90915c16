"""Spatial relational reasoning (STRRN eq. 1 to 3): appearance of patches and geometry of pairs within a face component."""

from enum import Enum

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from strrn.core.landmarks import LandmarkScheme
from strrn.models.patches import PatchFeatures
from strrn.models.precision import full_precision


class GeometryEncoding(Enum):
    """log: the paper's log of absolute differences (clamped). signed_log: keeps the side, invariant to scale and roll. none: no geometry,
    the tracker sees patches only (the paper's ablation without the spatial module)."""

    log = "log"
    signed_log = "signed_log"
    none = "none"


class CanonicalFrame(nn.Module):
    """Carries shapes upright: points (B, L, 2) -> (canonical (B, L, 2), linear (B, 2, 2)).

    linear is the rotation and scale that carry the reference shape onto the points (least squares); canonical are the points without
    it, centred, in pixels of the reference shape.
    """

    def __init__(self, reference_shape: Tensor) -> None:
        super().__init__()
        self.register_buffer("reference", reference_shape.float() - reference_shape.float().mean(0))

    @full_precision
    def forward(self, points: Tensor) -> tuple[Tensor, Tensor]:
        centred = points - points.mean(1, keepdim=True)
        norm = self.reference.square().sum()
        a = (centred * self.reference).sum((1, 2)) / norm
        b = (centred[..., 1] * self.reference[:, 0] - centred[..., 0] * self.reference[:, 1]).sum(1) / norm
        linear = torch.stack([a, -b, b, a], -1).reshape(-1, 2, 2)
        inverse = torch.stack([a, b, -b, a], -1).reshape(-1, 2, 2) / (a.square() + b.square()).clamp(min=1e-6)[:, None, None]
        return torch.matmul(centred, inverse.transpose(1, 2)), linear


class GeometryRelation(nn.Module):
    """Geometry feature of every landmark from its pairs (eq. 2): (B, L, 2) -> (B, L, feature_size).

    A pair (m, n) of a component is described by the relative vector m - n and both points' vectors to the root (the nose). The
    embeddings of a landmark's pairs (all partners of its component, and the root) are averaged over n.
    Paper: log of absolute pixel differences. Here, by default: sign(v) * log1p(|v| / (knee * d)) on canonical coordinates,
    because the plain log is infinite at 0, forgets the side, and changes with scale and roll.
    """

    knee = 0.1

    def __init__(self, scheme: LandmarkScheme, encoding: GeometryEncoding, reference_distance: float, feature_size: int) -> None:
        super().__init__()
        self.encoding, self.root, self.unit = encoding, scheme.root, self.knee * reference_distance
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
        self.embed = nn.Linear(8, feature_size)
        self.size = scheme.num_landmarks * feature_size

    def encode(self, v: Tensor) -> Tensor:
        if self.encoding is GeometryEncoding.log:
            return torch.log(v.abs().clamp(min=1.0))
        return torch.sign(v) * torch.log1p(v.abs() / self.unit)

    def forward(self, points: Tensor, canonical: Tensor) -> Tensor:
        """points (B, L, 2) in crop pixels, which `log` reads; canonical (B, L, 2) of the same shapes, which `signed_log` reads."""
        shape = points if self.encoding is GeometryEncoding.log else canonical
        pose = self.encode(shape - shape[:, self.root : self.root + 1])
        relative = shape.index_select(1, self.first) - shape.index_select(1, self.second)
        # embed([phi_m, phi_n]) of the paper, phi_m = [encode(m - n), pose of m], phi_n = [encode(n - m), pose of n]: its parts that belong
        # to a single point are computed once a point, not once a pair; encode(n - m) is encode(m - n), for signed_log with the other sign.
        towards, of_m, away, of_n = self.embed.weight.T.unflatten(0, (4, 2)).unbind(0)
        pair = towards + away if self.encoding is GeometryEncoding.log else towards - away
        single = torch.matmul(pose, torch.cat([of_m, of_n], 1))  # (B, L, 2 * feature_size)
        at_m, at_n = single.tensor_split(2, -1)
        both = at_m.index_select(1, self.first) + at_n.index_select(1, self.second)
        pairs = functional.relu(torch.matmul(self.encode(relative), pair) + both + self.embed.bias)  # (B, P, feature_size)
        return torch.matmul(self.average, pairs)


class SpatialModule(nn.Module):
    """f_SR (eq. 3): geometry of all components and appearance of all patches, concatenated to (B, size); without a relation the
    appearance alone."""

    def __init__(self, patches: PatchFeatures, relation: GeometryRelation | None) -> None:
        super().__init__()
        self.patches, self.relation = patches, relation
        self.size = patches.size + (relation.size if relation is not None else 0)

    def forward(self, pixels: list[Tensor], look: int, points: Tensor, canonical: Tensor) -> Tensor:
        """pixels, look: see PatchFeatures; canonical of the points (B, L, 2): see CanonicalFrame."""
        if self.relation is None:
            return self.patches(pixels, look, points)
        geometry = self.relation(points, canonical).flatten(1)
        return torch.cat([geometry, self.patches(pixels, look, points)], 1)


def reference_tensor(reference_shape: np.ndarray | list) -> Tensor:
    return torch.as_tensor(np.asarray(reference_shape, np.float32))
