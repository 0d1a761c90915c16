"""What the face does: weights of the 52 ARKit expression units, and the direction of the eyes."""

from dataclasses import dataclass

import numpy as np

from strrn.render.mesh import Mesh
from strrn.render.parameters import LookParameters

SIDES = ("Left", "Right")
RARE = (  # units that appear alone now and then, besides smiles, speech, blinks and brows
    "mouthPucker", "mouthFunnel", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthLeft", "mouthRight",
    "jawForward", "jawLeft", "jawRight", "cheekPuff", "mouthFrown", "mouthPress", "mouthStretch", "noseSneer", "mouthDimple", "eyeWide",
)  # fmt: skip
MOUTH_SHAPES = ("mouthPucker", "mouthFunnel", "mouthRollLower", "mouthShrugUpper", "mouthLowerDown", "mouthUpperUp", "mouthStretch")
GAZE_RADIANS = 0.45  # turn of the eyeball at full weight of an eyeLook unit


@dataclass
class Expression:
    """weights: unit name -> 0..1. gaze: of both eyes in radians, towards the person's left and up."""

    weights: dict[str, float]
    gaze: tuple[float, float]


class Units:
    """The expression units of a mesh."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.rows = {name.removeprefix("unit/"): row for name, row in mesh.target_index.items() if name.startswith("unit/")}

    def apply(self, expression: Expression) -> np.ndarray:
        """Offsets (V, 3) float32. Raises ValueError for a unit that the mesh does not have."""
        unknown = [name for name in expression.weights if name not in self.rows]
        if unknown:
            raise ValueError(f"expression unit {unknown[0]!r} is unknown; the mesh has {sorted(self.rows)}")
        used = {self.rows[name]: weight for name, weight in expression.weights.items() if weight > 0}
        return self.mesh.blend(np.array(list(used), np.int64), np.array(list(used.values())))


def both(weights: dict[str, float], unit: str, left: float, right: float | None = None) -> None:
    """Set a unit on both sides (or in the middle, where it has no sides); the larger of old and new stays."""
    for side, value in zip(SIDES, (left, left if right is None else right), strict=True):
        weights[unit + side] = max(weights.get(unit + side, 0.0), float(np.clip(value, 0, 1)))


def has_sides(unit: str) -> bool:
    return (unit.startswith(("brow", "eye", "cheekSquint", "noseSneer")) and unit != "browInnerUp") or unit in (
        "mouthSmile", "mouthFrown", "mouthPress", "mouthStretch", "mouthDimple", "mouthLowerDown", "mouthUpperUp",
    )  # fmt: skip


def sample_expression(rng: np.random.Generator, parameters: LookParameters) -> Expression:
    """An expression as photographs show them: neutral, smiling (with cheeks and eyes), speaking, surprised, frowning; eyes open or not.

    parameters.expression scales everything but the blink.
    """
    strength = parameters.expression
    weights: dict[str, float] = {}
    mood = rng.choice(["neutral", "smile", "laugh", "speech", "surprise", "frown"], p=[0.2, 0.4, 0.15, 0.16, 0.04, 0.05])
    match mood:
        case "smile":
            _smile(weights, rng, rng.uniform(0.25, 1.0) * strength, open_mouth=rng.random() < 0.6)
        case "laugh":
            _smile(weights, rng, rng.uniform(0.6, 1.0) * strength, open_mouth=True)
            weights["jawOpen"] = rng.uniform(0.15, 0.8) * strength
        case "speech":
            weights["jawOpen"] = rng.beta(1.2, 2.5) * strength
            unit = rng.choice(MOUTH_SHAPES)
            _set(weights, unit, rng.uniform(0, 0.8) * strength, rng)
        case "surprise":
            weights["jawOpen"] = rng.uniform(0.2, 0.9) * strength
            weights["browInnerUp"] = rng.uniform(0.3, 1) * strength
            both(weights, "browOuterUp", rng.uniform(0.3, 1) * strength)
            both(weights, "eyeWide", rng.uniform(0, 0.8) * strength)
        case "frown":
            both(weights, "browDown", rng.uniform(0.3, 1) * strength)
            both(weights, "mouthFrown", rng.uniform(0, 0.7) * strength)
            both(weights, "eyeSquint", rng.uniform(0, 0.6) * strength)
    for unit in RARE:
        if rng.random() < 0.05:
            _set(weights, unit, rng.uniform(0.1, 0.7) * strength, rng)
    if rng.random() < 0.2:
        _set(weights, rng.choice(["browInnerUp", "browOuterUp", "browDown"]), rng.uniform(0.1, 0.8) * strength, rng)
    gaze = (float(np.clip(rng.normal(0, parameters.gaze), -0.5, 0.5)), float(np.clip(rng.normal(0, parameters.gaze / 2), -0.3, 0.3)))
    lids = rng.random()
    closed = 1.0 if lids < 0.06 else rng.uniform(0.1, 0.9) if lids < 0.16 else rng.uniform(0, 0.12)
    both(weights, "eyeBlink", closed, closed if rng.random() < 0.95 else 0.0)
    add_gaze(weights, gaze)
    return Expression(weights, gaze)


def _smile(weights: dict[str, float], rng: np.random.Generator, amount: float, open_mouth: bool) -> None:
    left, right = amount * rng.uniform(0.85, 1.1), amount * rng.uniform(0.85, 1.1)
    both(weights, "mouthSmile", left, right)
    both(weights, "cheekSquint", amount * rng.uniform(0.2, 0.9))
    both(weights, "eyeSquint", amount * rng.uniform(0, 0.6))
    both(weights, "mouthStretch", amount * rng.uniform(0, 0.4))
    if open_mouth:
        both(weights, "mouthUpperUp", amount * rng.uniform(0.2, 0.8))
        both(weights, "mouthLowerDown", amount * rng.uniform(0.1, 0.7))
        weights["jawOpen"] = amount * rng.uniform(0.0, 0.15)


def _set(weights: dict[str, float], unit: str, value: float, rng: np.random.Generator) -> None:
    if has_sides(unit):
        both(weights, unit, value * rng.uniform(0.8, 1.1), value * rng.uniform(0.8, 1.1))
    else:
        weights[unit] = max(weights.get(unit, 0.0), float(np.clip(value, 0, 1)))


def add_gaze(weights: dict[str, float], gaze: tuple[float, float]) -> None:
    """Lids follow the eyes: eyeLook units for a gaze (towards the person's left, up) in radians."""
    side, up = (float(np.clip(value / GAZE_RADIANS, -1, 1)) for value in gaze)
    weights["eyeLookOutLeft"], weights["eyeLookInRight"] = max(side, 0.0), max(side, 0.0)
    weights["eyeLookInLeft"], weights["eyeLookOutRight"] = max(-side, 0.0), max(-side, 0.0)
    both(weights, "eyeLookUp", max(up, 0.0))
    both(weights, "eyeLookDown", max(-up, 0.0))
