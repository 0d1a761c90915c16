"""Who it is: the shape of a head, drawn from MakeHuman's macro targets (ancestry, sex, age, build) and detail targets."""

from dataclasses import dataclass

import numpy as np

from strrn.render.mesh import AGES, BUILDS, DETAIL_FOLDERS, RACES, SEXES, Mesh
from strrn.render.parameters import LookParameters

# Endings of the two targets of an axis, which is called after the first.
ENDS = (
    ("-incr", "-decr"),
    ("-up", "-down"),
    ("-out", "-in"),
    ("-forward", "-backward"),
    ("-convex", "-concave"),
    ("-uncompress", "-compress"),
)
SIDEWAYS = ("mouth/mouth-trans-out", "nose/nose-trans-out", "neck/neck-trans-out")  # axes that move a middle part to one side
# Mean of a detail axis (1 = its full target): fitted so that the differences which `python -m benchmarks.landmarks` prints, between the
# mean shapes of renders and of photographs (300-W, development half) and between the ways in which they change when the head turns, come
# close to zero.
PHOTOGRAPHS = {
    "cheek/l-cheek-bones-incr": -0.08,
    "cheek/l-cheek-volume-incr": -0.17,
    "cheek/r-cheek-bones-incr": -0.08,
    "cheek/r-cheek-volume-incr": -0.17,
    "chin/chin-bones-incr": 0.07,
    "chin/chin-prognathism-incr": 0.32,
    "chin/chin-prominent-incr": 0.51,
    "chin/chin-triangle": -0.05,
    "chin/chin-width-incr": -0.15,
    "eyes/l-eye-height2-incr": 0.2,
    "eyes/l-eye-push1-out": 0.14,
    "eyes/l-eye-trans-out": 0.16,
    "eyes/l-eye-trans-up": -0.2,
    "eyes/r-eye-height2-incr": 0.2,
    "eyes/r-eye-push1-out": 0.14,
    "eyes/r-eye-trans-out": 0.16,
    "eyes/r-eye-trans-up": -0.2,
    "head/head-angle-out": 0.06,
    "head/head-invertedtriangular": 0.08,
    "head/head-scale-depth-incr": 0.06,
    "mouth/mouth-lowerlip-height-incr": -0.27,
    "mouth/mouth-lowerlip-middle-up": -0.05,
    "mouth/mouth-scale-depth-incr": 0.12,
    "mouth/mouth-scale-horiz-incr": 0.23,
    "mouth/mouth-scale-vert-incr": -0.49,
    "mouth/mouth-trans-forward": -0.45,
    "mouth/mouth-trans-up": -0.11,
    "mouth/mouth-upperlip-height-incr": -0.2,
    "mouth/mouth-upperlip-middle-up": -0.07,
    "mouth/mouth-upperlip-width-incr": 0.09,
    "nose/nose-base-up": 0.25,
    "nose/nose-curve-convex": 0.1,
    "nose/nose-greek-incr": 0.06,
    "nose/nose-hump-incr": 0.11,
    "nose/nose-nostrils-width-incr": -0.25,
    "nose/nose-scale-depth-incr": 0.09,
    "nose/nose-septumangle-incr": -0.05,
    "nose/nose-trans-forward": 0.51,
    "nose/nose-volume-incr": -0.11,
}


@dataclass(frozen=True)
class Person:
    """Shape of a head and the traits that skin and hair are chosen by.

    offsets: (V, 3) float32 added to the base mesh. sex: 0 female to 1 male. age: 0 child, 0.5 young, 1 old. ancestry: weights of RACES.
    """

    offsets: np.ndarray
    sex: float
    age: float
    ancestry: tuple[float, float, float]


@dataclass(frozen=True)
class DetailAxes:
    """Detail targets as axes: a value v > 0 moves along `positive`, v < 0 along `negative` (rows of Mesh.target_names, -1 = none).

    twin: the same axis on the other side of the face, or -1. spread: standard deviation relative to the parameter `detail`. mean: of the
    values, see PHOTOGRAPHS.
    """

    positive: np.ndarray
    negative: np.ndarray
    twin: np.ndarray
    spread: np.ndarray
    mean: np.ndarray
    uneven: np.ndarray


def detail_axes(mesh: Mesh) -> DetailAxes:
    rows: dict[str, list[int]] = {}
    for name, row in mesh.target_index.items():
        if name.partition("/")[0] in DETAIL_FOLDERS:
            axis, side = _axis_of(name)
            rows.setdefault(axis, [-1, -1])[side] = row
    number = {name: index for index, name in enumerate(rows)}
    table = np.array(list(rows.values()))
    return DetailAxes(
        positive=table[:, 0],
        negative=table[:, 1],
        twin=np.array([number.get(_other_side(name), -1) for name in rows]),
        spread=np.array([_spread(name) for name in rows]),
        mean=np.array([PHOTOGRAPHS.get(name, 0.0) for name in rows]),
        uneven=np.array([name.startswith("asym/") or name in SIDEWAYS for name in rows]),
    )


def _axis_of(target: str) -> tuple[str, int]:
    """Name of a target's axis, and 0 for its positive, 1 for its negative end."""
    for positive, negative in ENDS:
        if target.endswith(negative):
            return target.removesuffix(negative) + positive, 1
    return target, 0


def _other_side(name: str) -> str:
    folder, _, rest = name.partition("/")
    if rest.startswith("l-"):
        return f"{folder}/r-{rest[2:]}"
    return f"{folder}/l-{rest[2:]}" if rest.startswith("r-") else name + " has no twin"


def _spread(axis: str) -> float:
    """Full strength of most targets is a caricature; what makes faces look drawn rather than born is held back further."""
    folder, _, rest = axis.partition("/")
    if folder in ("neck", "ears") or "cleft" in rest or "epicanthus" in rest:
        return 0.7
    if folder == "head":
        return 0.8
    return 1.0


def sample_person(rng: np.random.Generator, mesh: Mesh, axes: DetailAxes, parameters: LookParameters) -> Person:
    """A new head, by parameters.macro, detail and asymmetry."""
    macro = parameters.macro
    index = mesh.target_index
    weights = np.zeros(len(mesh.target_names), np.float32)
    ancestry = (1 - macro) / 3 + macro * rng.dirichlet(np.full(3, 0.35))
    sex = 0.5 + macro * (float(np.clip(rng.choice([0.12, 0.88]) + rng.normal(0, 0.12), 0, 1)) - 0.5)
    age = 0.5 + macro * (float(np.clip(rng.choice([0.25, 0.55, 0.85], p=[0.12, 0.58, 0.3]) + rng.normal(0, 0.1), 0.1, 1)) - 0.5)
    child, old = max(0.0, 1 - 2 * age), max(0.0, 2 * age - 1)
    by_age = dict(zip(AGES, (child, 1 - child - old, old), strict=True))
    by_sex = dict(zip(SEXES, (1 - sex, sex), strict=True))
    build = np.zeros(len(BUILDS))
    build[0] = 1.0
    for pair in ((1, 2), (3, 4)):
        amount = macro * np.clip(rng.normal(0, 0.4), -1, 1)
        build[pair[int(amount > 0)]] += abs(amount)
        build[0] -= 0.5 * abs(amount)
    build = np.maximum(build, 0) / np.maximum(build, 0).sum()
    for name_sex, share_sex in by_sex.items():
        for name_age, share_age in by_age.items():
            share = share_sex * share_age
            for race, share_race in zip(RACES, ancestry, strict=True):
                weights[index[f"{race}-{name_sex}-{name_age}"]] = share * share_race
            for name, share_build in zip(BUILDS, build, strict=True):
                weights[index[f"universal-{name_sex}-{name_age}-{name}"]] = share * share_build
    values = _detail_values(rng, axes, parameters.detail, parameters.asymmetry)
    up, down = values > 0, values < 0
    np.add.at(weights, axes.positive[up & (axes.positive >= 0)], values[up & (axes.positive >= 0)])
    np.add.at(weights, axes.negative[down & (axes.negative >= 0)], -values[down & (axes.negative >= 0)])
    rows = np.flatnonzero(weights)
    return Person(mesh.blend(rows, weights[rows]), sex, age, tuple(float(share) for share in ancestry))


def _detail_values(rng: np.random.Generator, axes: DetailAxes, detail: float, asymmetry: float) -> np.ndarray:
    values = axes.mean + rng.normal(0, 1, len(axes.positive)) * axes.spread * detail * np.where(axes.uneven, asymmetry, 1.0)
    for axis, twin in enumerate(axes.twin):
        if axis < twin:
            values[twin] = values[axis] + asymmetry * detail * rng.normal()
    return np.clip(values, -0.9, 0.9)
