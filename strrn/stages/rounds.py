"""Rounds of distillation: entries of `rounds` in params.yaml. Each names the round that it starts from, and what it changes of `mine`."""

import re
from pathlib import Path

from strrn.stages.parameters import PARAMS_FILE, load_mapping

FIRST = "r0"


def round_names(path: Path = PARAMS_FILE) -> list[str]:
    """r0 (the pretrained pair) and the rounds of params.yaml in their order there.

    Raises ValueError for a round that starts from an unknown or later one.
    """
    names = [FIRST]
    for name, entry in load_mapping("rounds", path).items():
        if name in names or not re.fullmatch("[A-Za-z][A-Za-z0-9]*", str(name)):
            raise ValueError(f"{path}: rounds.{name}: a round's name is letters and digits, begins with a letter, and is not {FIRST}")
        start = entry.get("from") if isinstance(entry, dict) else None
        if start not in names:
            raise ValueError(f"{path}: rounds.{name}.from must name a round above it {names}, found {start!r}")
        names.append(name)
    return names


def load_round(name: str, path: Path = PARAMS_FILE) -> tuple[str, dict]:
    """(the round that `name` starts from, its overrides of section `mine`). Raises ValueError for an unknown round."""
    if name not in round_names(path)[1:]:
        raise ValueError(f"{path}: there is no round {name!r} in `rounds`")
    entry = dict(load_mapping("rounds", path)[name])
    return entry.pop("from"), entry
