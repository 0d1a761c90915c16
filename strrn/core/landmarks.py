"""Landmark schemes: what the points are called, how they mirror, and what their errors are divided by.

No other module knows how many landmarks a face has. `ibug68` is the 300-W markup; a scheme of one's own is a YAML file with the
same fields (see `load_scheme`).
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from strrn.core.files import read_yaml

SCHEMES_DIR = Path(__file__).parent / "schemes"
IBUG68, IBUG68_LANDMARKS = "ibug68", 68
CONFIDENCE_TOLERANCE = 0.05  # the confidence of a point is the probability that its error is below this share of d


@dataclass(frozen=True)
class LandmarkScheme:
    """A set of L named landmarks.

    names: L names, unique.
    mirror: (L,) int; landmark l of a mirrored face is landmark mirror[l] of the original.
    components: component name -> landmark indices (STRRN, Spatial Relational Reasoning: five components).
    edges: pairs of landmarks to draw as lines.
    root: the landmark at the root of the dendrite (the nose in the paper).
    normalisers: name -> two groups of landmarks; the distance of the groups' means divides an error. The methods' own distance
        `d` is `normalisers["inter_pupil"]` where it exists, otherwise the first.
    subsets: name -> landmark indices that are scored separately (51 and 49 points of 300-W).
    from_ibug68: of each landmark, the landmarks of ibug68 whose mean it is; None where it cannot be had from them. With it, all that is
        labelled with 68 points serves this scheme: rendered faces, 300-W, 300VW.
    """

    name: str
    names: tuple[str, ...]
    mirror: tuple[int, ...]
    components: Mapping[str, tuple[int, ...]]
    edges: tuple[tuple[int, int], ...]
    root: int
    normalisers: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]
    subsets: Mapping[str, tuple[int, ...]]
    from_ibug68: tuple[tuple[int, ...], ...] | None = None

    def __post_init__(self) -> None:
        count = len(self.names)
        if not self.name or not all(isinstance(name, str) for name in (self.name, *self.names)):
            raise ValueError(f"scheme {self.name!r}: its name and those of its landmarks must be text, found {[*self.names]}: quote them")
        if len(set(self.names)) != count:
            repeated = sorted({name for name in self.names if self.names.count(name) > 1})
            raise ValueError(f"scheme {self.name!r}: landmark names repeat: {', '.join(repeated)}")
        if sorted(self.mirror) != list(range(count)) or any(self.mirror[self.mirror[i]] != i for i in range(count)):
            raise ValueError(
                f"scheme {self.name!r}: mirror must give each of the landmarks 0..{count - 1} a partner that points back to it (itself, "
                f"where it lies in the middle), found {list(self.mirror)}"
            )
        if not self.normalisers or not all(a and b and set(a) != set(b) for a, b in self.normalisers.values()):
            raise ValueError(f"scheme {self.name!r}: at least one normaliser is needed, each of two lists, not empty and not the same")
        groups = [("root", (self.root,)), ("edges", tuple(i for edge in self.edges for i in edge))]
        groups += [(f"components.{key}", value) for key, value in self.components.items()]
        groups += [(f"subsets.{key}", value) for key, value in self.subsets.items()]
        groups += [(f"normalisers.{key}", a + b) for key, (a, b) in self.normalisers.items()]
        for where, indices in groups:
            wrong = [i for i in indices if not 0 <= i < count]
            if wrong:
                raise ValueError(f"scheme {self.name!r}: {where} names landmarks {wrong}, but there are {count}")
        if self.name == IBUG68 and count != IBUG68_LANDMARKS:
            raise ValueError(f"scheme {self.name!r} has {count} landmarks: only that of {IBUG68_LANDMARKS} may have this name")
        if self.from_ibug68 is not None:
            if len(self.from_ibug68) != count:
                raise ValueError(
                    f"scheme {self.name!r}: from_ibug68 has {len(self.from_ibug68)} lists, expected one for each of {count} landmarks"
                )
            for landmark, group in zip(self.names, self.from_ibug68, strict=True):
                if not group or not all(0 <= i < IBUG68_LANDMARKS for i in group):
                    raise ValueError(f"scheme {self.name!r}: from_ibug68 of {landmark!r} must list numbers in 0..67, found {list(group)}")

    @property
    def knows_ibug68(self) -> bool:
        """Whether points of this scheme can be had from the 68 of ibug68."""
        return self.name == IBUG68 or self.from_ibug68 is not None

    def from_68(self, points: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points (..., 68, 2) and a mask (..., 68) of ibug68 -> (..., L, 2) and (..., L) of this scheme: means, and whether all are set.

        Raises ValueError where the scheme does not say how.
        """
        if self.name == IBUG68:
            return points, valid
        if self.from_ibug68 is None:
            raise ValueError(f"scheme {self.name!r} has no from_ibug68: its points cannot be had from those of {IBUG68}")
        groups = [list(group) for group in self.from_ibug68]
        means = np.stack([points[..., group, :].mean(-2) for group in groups], -2)
        return means.astype(points.dtype), np.stack([valid[..., group].all(-1) for group in groups], -1)

    @property
    def num_landmarks(self) -> int:
        return len(self.names)

    @property
    def method_normaliser(self) -> str:
        """Name of the normaliser `d` that the methods use (METHODS: inter-pupil distance)."""
        return "inter_pupil" if "inter_pupil" in self.normalisers else next(iter(self.normalisers))

    def distance(self, points: np.ndarray, normaliser: str | None = None) -> np.ndarray:
        """Normalising distance in the points' own unit: points (..., L, 2) -> (...). Default: the methods' `d`."""
        name = normaliser or self.method_normaliser
        if name not in self.normalisers:
            raise ValueError(f"scheme {self.name!r} has no normaliser {name!r}; it has {sorted(self.normalisers)}")
        first, second = self.normalisers[name]
        difference = points[..., list(first), :].mean(-2) - points[..., list(second), :].mean(-2)
        return np.hypot(difference[..., 0], difference[..., 1])


def load_scheme(name_or_path: str | Path) -> LandmarkScheme:
    """A scheme by name (a file of `core/schemes/`) or from the user's own YAML file.

    Raises FileNotFoundError for an unknown name, ValueError for a file that does not describe a scheme.
    """
    path = Path(name_or_path)
    if path.suffix not in {".yaml", ".yml"}:
        path = SCHEMES_DIR / f"{name_or_path}.yaml"
    if not path.is_file():
        known = sorted(p.stem for p in SCHEMES_DIR.glob("*.yaml"))
        raise FileNotFoundError(f"no landmark scheme {str(name_or_path)!r}: give one of {known} or the path of a YAML file")
    return scheme_from_dict(read_yaml(path), origin=str(path))


def scheme_from_dict(content: Mapping | None, origin: str = "scheme") -> LandmarkScheme:
    """The scheme that a plain mapping describes (YAML file, ONNX metadata). Raises ValueError naming what is missing or wrong."""
    if not isinstance(content, Mapping):
        raise ValueError(f"{origin} holds no fields: a scheme has {list(_READ)}")
    missing = [name for name in _READ if name not in content]
    unknown = [name for name in content if name not in (*_READ, _DERIVED)]
    if missing or unknown:
        raise ValueError(f"{origin}: missing fields {missing}, unknown fields {unknown}; a scheme has {list(_READ)} and may have {_DERIVED}")
    values = {}
    for name, read in (_READ | {_DERIVED: _groups}).items():
        try:
            values[name] = None if name == _DERIVED and content.get(name) is None else read(content[name])
        except (TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"{origin}: {name} is not as a scheme has it ({error}), found {content[name]!r}") from error
    return LandmarkScheme(**values)


def _listed(values: Sequence) -> tuple:
    if isinstance(values, str):
        raise TypeError("expected a list")
    return tuple(values)


def _indices(values: Sequence[int]) -> tuple[int, ...]:
    return tuple(map(operator.index, values))


def _groups(values: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    return tuple(map(_indices, values))


def _pair(values: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    first, second = values
    return _indices(first), _indices(second)


# What makes the fields of a scheme of those of a YAML file.
_READ: dict[str, Callable] = {
    "name": lambda name: name,
    "names": _listed,
    "mirror": _indices,
    "components": lambda parts: {key: _indices(value) for key, value in parts.items()},
    "edges": lambda edges: tuple((int(a), int(b)) for a, b in edges),
    "root": operator.index,
    "normalisers": lambda pairs: {key: _pair(value) for key, value in pairs.items()},
    "subsets": lambda parts: {key: _indices(value) for key, value in parts.items()},
}
_DERIVED = "from_ibug68"


def scheme_to_dict(scheme: LandmarkScheme) -> dict:
    """The plain mapping that `scheme_from_dict` reads back (JSON-safe)."""
    content = {
        "name": scheme.name,
        "names": list(scheme.names),
        "mirror": list(scheme.mirror),
        "components": {key: list(value) for key, value in scheme.components.items()},
        "edges": [list(edge) for edge in scheme.edges],
        "root": scheme.root,
        "normalisers": {key: [list(a), list(b)] for key, (a, b) in scheme.normalisers.items()},
        "subsets": {key: list(value) for key, value in scheme.subsets.items()},
    }
    return content if scheme.from_ibug68 is None else content | {"from_ibug68": [list(group) for group in scheme.from_ibug68]}
