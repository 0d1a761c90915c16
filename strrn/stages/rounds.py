"""Rounds of distillation: entries of `rounds` in params.yaml, each a start and what it changes of section `mine`."""

from dataclasses import dataclass
from pathlib import Path

from omegaconf import OmegaConf

from strrn.stages.parameters import PARAMS_FILE, load_mapping, merge_section
from strrn.training.mining import MineParameters

FIRST = "r0"


@dataclass(frozen=True)
class Round:
    """start: the round whose models this one starts from (`from` in params.yaml; r0 is the pretrained pair)."""

    name: str
    start: str
    mine: MineParameters


def round_names(path: Path = PARAMS_FILE) -> list[str]:
    """r0 and the rounds of params.yaml, in their order there. Raises ValueError for a round that starts from an unknown or later one."""
    names = [FIRST]
    for name, entry in load_mapping("rounds", path).items():
        start = entry.get("from") if isinstance(entry, dict) else None
        if start not in names:
            raise ValueError(f"{path}: rounds.{name}.from must name a round above it {names}, found {start!r}")
        names.append(name)
    return names


def load_round(name: str, path: Path = PARAMS_FILE) -> Round:
    """The round `name`. Raises ValueError where it is unknown or one of its values is wrong."""
    if name not in round_names(path) or name == FIRST:
        raise ValueError(f"{path}: there is no round {name!r} in `rounds`")
    entry = dict(load_mapping("rounds", path)[name])
    start = entry.pop("from")
    merged = OmegaConf.merge(OmegaConf.create(load_mapping("mine", path)), entry)
    return Round(name, start, merge_section(f"rounds.{name}", merged, MineParameters, path))
