"""Parameters of the networks; the sections `mdm`, `hgn` and `strrn` of params.yaml."""

from dataclasses import dataclass, fields
from enum import Enum

from strrn.models.spatial import GeometryEncoding


@dataclass(frozen=True)
class MDMParameters:
    """See MDM and PatchEncoder. Sizes of patches in crop pixels, one for every step."""

    hidden_size: int
    patch_sizes: list[int]
    patch_samples: int
    patch_block: int
    patch_channels: list[int]
    patch_feature_size: int

    def __post_init__(self) -> None:
        _positive(self, "hidden_size", "patch_samples", "patch_block", "patch_feature_size")
        _positive_sizes(self.patch_sizes)


@dataclass(frozen=True)
class HGNParameters:
    """See HGN. sigma of the target Gaussians in heatmap cells."""

    input_size: int
    num_stacks: int
    channels: int
    depth: int
    sigma: float

    def __post_init__(self) -> None:
        _positive(self, "input_size", "num_stacks", "channels", "depth", "sigma")


@dataclass(frozen=True)
class STRRNParameters:
    """See STRRN and SpatialModule. geometry: signed_log, or log as in the paper."""

    hidden_size: int
    geometry: GeometryEncoding
    geometry_feature_size: int
    shape_prior: bool
    patch_sizes: list[int]
    patch_samples: int
    patch_block: int
    patch_channels: list[int]
    patch_feature_size: int

    def __post_init__(self) -> None:
        _positive(self, "hidden_size", "geometry_feature_size", "patch_samples", "patch_block", "patch_feature_size")
        _positive_sizes(self.patch_sizes)


def _positive(section: object, *names: str) -> None:
    for name in names:
        if getattr(section, name) <= 0:
            raise ValueError(f"{name} must be positive, found {getattr(section, name)}")


def _positive_sizes(patch_sizes: list[int]) -> None:
    if not patch_sizes or min(patch_sizes) <= 0:
        raise ValueError(f"patch_sizes must be a positive size for every step, found {patch_sizes}")


def as_dict(section: MDMParameters | HGNParameters | STRRNParameters) -> dict:
    """The section as a checkpoint's header stores it."""
    values = {field.name: getattr(section, field.name) for field in fields(section)}
    return {name: value.value if isinstance(value, Enum) else value for name, value in values.items()}
