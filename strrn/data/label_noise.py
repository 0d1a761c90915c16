"""Known errors of annotation, put into labels to see what a method makes of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from strrn.core.landmarks import LandmarkScheme
from strrn.data.datasets import LabelledCrops


@dataclass(frozen=True)
class ContourNoiseParameters:
    """component: of the scheme, whose landmarks follow each other along a line, on which their place is ambiguous. deviation: standard
    deviation of the errors along it that are put into their labels, share of d; 0: the labels as they are."""

    component: str
    deviation: float

    def __post_init__(self) -> None:
        if self.deviation < 0:
            raise ValueError(f"deviation must not be negative, found {self.deviation}")

    def landmarks(self, scheme: LandmarkScheme) -> list[int]:
        """The component's landmarks. Raises ValueError where the scheme has no such component, or one of a single landmark."""
        if self.component not in scheme.components:
            raise ValueError(f"scheme {scheme.name!r} has no component {self.component!r}; it has {sorted(scheme.components)}")
        if len(scheme.components[self.component]) < 2:
            raise ValueError(f"component {self.component!r} has a single landmark, which lies along no line")
        return list(scheme.components[self.component])


def directions_along(points: np.ndarray) -> np.ndarray:
    """Unit vectors along lines of points (N, K, 2): from the point before to the point after; at the ends, and where one of them is not
    labelled (NaN), from or to the point itself. NaN for a point without a labelled neighbour."""
    change = np.diff(points.astype(np.float64), axis=1)
    nothing = np.full_like(change[:, :1], np.nan)
    before, after = np.concatenate([nothing, change], 1), np.concatenate([change, nothing], 1)
    total = np.where(np.isnan(before), after, np.where(np.isnan(after), before, before + after))
    return total / np.linalg.norm(total, axis=-1, keepdims=True)


def with_contour_noise(
    crops: LabelledCrops, scheme: LandmarkScheme, parameters: ContourNoiseParameters, seed: int | Sequence[int]
) -> LabelledCrops:
    """Copies of labelled crops in which every landmark of the component moved along the line of its neighbours, by independent normal
    distances of deviation * d; those without a direction, or of faces whose d is not labelled, stay. The errors of a crop depend on seed
    and its row alone."""
    component = parameters.landmarks(scheme)
    normal = np.stack([np.random.default_rng((*np.ravel(seed), row)).normal(size=len(component)) for row in range(len(crops))])
    length = normal * parameters.deviation * scheme.distance(crops.points)[:, None]
    moved = crops.points.copy()
    moved[:, component] += np.nan_to_num(directions_along(crops.points[:, component]) * length[..., None]).astype(moved.dtype)
    return LabelledCrops(crops.images, moved, crops.valid)


def split_errors(points: np.ndarray, truth: np.ndarray, scheme: LandmarkScheme, parameters: ContourNoiseParameters) -> dict[str, float]:
    """Root mean square distances of the component's landmarks from the truth, in units of d: `error`, and its parts `along` the line and
    `normal` to it. points, truth: (N, L, 2). Over what is labelled and has a direction; NaN where nothing is."""
    component = parameters.landmarks(scheme)
    difference = (points - truth)[:, component] / scheme.distance(truth)[:, None, None]
    direction = directions_along(truth[:, component])
    along = (difference * direction).sum(-1)
    normal = difference[..., 1] * direction[..., 0] - difference[..., 0] * direction[..., 1]
    known = np.isfinite(along)
    squared = {"along": np.square(along[known]), "normal": np.square(normal[known])}
    squared["error"] = squared["along"] + squared["normal"]
    return {name: float(np.sqrt(values.mean())) if len(values) else float("nan") for name, values in squared.items()}
