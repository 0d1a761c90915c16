"""Parameters of the networks; the sections `mdm`, `hgn` and `strrn` of params.yaml."""

from dataclasses import asdict, dataclass
from enum import Enum

from strrn.models.spatial import GeometryEncoding


class Backbone(Enum):
    """What detects: see MDM and HGN."""

    mdm = "mdm"
    hgn = "hgn"


@dataclass
class PatchParameters:
    """See PatchFeatures. sizes in crop pixels, one for every look."""

    sizes: list[int]
    samples: int
    block: int
    channels: list[int]
    feature_size: int
    contrast_floor: float

    def __post_init__(self) -> None:
        _positive(self, "samples", "block", "feature_size")
        if self.contrast_floor < 0:
            raise ValueError(f"contrast_floor must not be negative, found {self.contrast_floor}")
        if not self.sizes or min(self.sizes) <= 0:
            raise ValueError(f"sizes must be a positive size for every look, found {self.sizes}")


@dataclass
class MDMParameters:
    """See MDM; a look is a step."""

    hidden_size: int
    patches: PatchParameters

    def __post_init__(self) -> None:
        _positive(self, "hidden_size")


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


@dataclass
class STRRNParameters:
    """See STRRN and SpatialModule. geometry: signed_log, log as in the paper, or none."""

    hidden_size: int
    geometry: GeometryEncoding
    geometry_feature_size: int
    shape_prior: bool
    appearance_memory: bool
    patches: PatchParameters

    def __post_init__(self) -> None:
        _positive(self, "hidden_size", "geometry_feature_size")


def _positive(section: object, *names: str) -> None:
    for name in names:
        if getattr(section, name) <= 0:
            raise ValueError(f"{name} must be positive, found {getattr(section, name)}")


def as_dict(section: MDMParameters | HGNParameters | STRRNParameters) -> dict:
    """The section as a checkpoint's header stores it."""
    return {name: value.value if isinstance(value, Enum) else value for name, value in asdict(section).items()}
