"""Plans of experiments: what a file of experiments/ or a grid asks for, and what DVC has of it."""

import hashlib
import itertools
import json
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from statistics import mean, stdev

import yaml

from flows.commands import git
from flows.state import EXPERIMENT
from strrn.core.summary import flatten

NOTHING = "-"
LONGEST_NAME = 150  # of an experiment; DVC makes names of files of it
Runs = dict[str, list[str]]  # name of an experiment -> overrides, as of `dvc exp run -S`


def read_plan(file: Path) -> tuple[str, Runs]:
    """Name and experiments of a file, which has a `name` and either `runs` (name -> overrides) or `grid` (parameter -> values);
    `common` overrides stand before those of every run.

    Raises FileNotFoundError, yaml.YAMLError, and ValueError for a file with anything else.
    """
    plan = yaml.safe_load(file.read_text(encoding="utf-8"))
    if not isinstance(plan, dict) or set(plan) - {"common"} not in ({"name", "runs"}, {"name", "grid"}):
        found = ", ".join(map(str, plan)) if isinstance(plan, dict) else type(plan).__name__
        raise ValueError(f"{file} has {found}; expected `name`, and `runs` or `grid`: docs/experiments.md")
    if "grid" in plan:
        return plan["name"], with_common(plan | {"runs": grid_runs(plan["name"], plan["grid"])}, file)
    return plan["name"], {f"{plan['name']}-{run}": overrides for run, overrides in with_common(plan, file).items()}


def with_common(plan: dict, file: Path) -> Runs:
    """The `runs` of a file, the overrides of `common` before those of each. Raises ValueError for what is no list of texts."""
    lists = {"common": plan.get("common", [])} | {f"run {run}": overrides for run, overrides in plan["runs"].items()}
    for name, overrides in lists.items():
        if not isinstance(overrides, list) or not all(isinstance(override, str) for override in overrides):
            raise ValueError(f"{file}: {name} is {overrides!r}, expected a list of overrides such as [train_seed=0]")
    return {run: [*lists["common"], *overrides] for run, overrides in plan["runs"].items()}


def grid_runs(name: str, grid: dict[str, list]) -> Runs:
    """All combinations of the values: {"a": [1, 2], "b": [true]} -> {"NAME-a=1": ["a=1", "b=true"], …}. What varies makes the name, or a
    hash of it where that would be too long for a file's.

    Raises ValueError for a grid without values, and for values other than numbers, words and true or false.
    """
    if not grid or not all(isinstance(values, list) and values for values in grid.values()):
        raise ValueError(f"the grid is {grid}, expected parameters with a list of values each, such as {{train_seed: [0, 1]}}")
    runs = {}
    for values in itertools.product(*grid.values()):
        overrides = [f"{parameter}={_as_override(parameter, value)}" for parameter, value in zip(grid, values, strict=True)]
        varied = [override for override, choices in zip(overrides, grid.values(), strict=True) if len(choices) > 1]
        label = ",".join(varied or overrides)
        if len(label) > LONGEST_NAME:
            label = hashlib.sha256(label.encode()).hexdigest()[:12]
        runs[f"{name}-{label}"] = overrides
    return runs


def experiment_refs() -> dict[str, str]:
    """Name of an experiment of the current commit -> its git reference."""
    commit = git("rev-parse", "HEAD").strip()
    lines = git("for-each-ref", "--format=%(refname)", f"refs/exps/{commit[:2]}/{commit[2:]}").splitlines()
    return {ref.rsplit("/", 1)[1]: ref for ref in lines}


def ran_elsewhere(names: Collection[str]) -> dict[str, str]:
    """Name -> commit of those experiments that other commits than the current one have."""
    head, found = git("rev-parse", "HEAD").strip(), {}
    for ref in git("for-each-ref", "--format=%(refname)", "refs/exps").splitlines():
        if (match := EXPERIMENT.fullmatch(ref)) and match[2] in names and (commit := match[1].replace("/", "")) != head:
            found[match[2]] = commit[:7]
    return found


def other_values(ref: str, overrides: Sequence[str]) -> list[str]:
    """In what the parameters of an experiment differ from those of the current commit with these overrides, as `key is a, not b`."""
    wanted, found = (flatten(yaml.safe_load(git("show", f"{revision}:params.yaml")) or {}) for revision in ("HEAD", ref))
    for override in overrides:
        key, _, value = override.lstrip("+~").partition("=")
        below = flatten({key: yaml.safe_load(value)})
        wanted = {name: old for name, old in wanted.items() if name != key and not name.startswith(f"{key}.")}
        wanted |= {} if override.startswith("~") else below
    keys = [key for key in {**wanted, **found} if _number(wanted.get(key)) != _number(found.get(key))]
    return [f"{key} is {found.get(key)}, not {wanted.get(key)}" for key in keys]


def _number(value: object) -> object:
    """1e-4 is a text in YAML 1.1 and a number for DVC."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def metrics(ref: str) -> dict:
    """reports/metrics.json of an experiment: its `rounds`, which of them is `exported`, and what other methods scored, under their names."""
    return json.loads(git("show", f"{ref}:reports/metrics.json"))


def figure_scores(ref: str, figure: str) -> dict:
    """Scores {dataset: {metric: value}} of a round and a system of an experiment (`r2 tracker`), of a method and what stands beside it
    (`brf brf`, `tsal asynchronous`), or of a baseline's (`sbr detector`).

    Raises ValueError where the experiment has no such figure.
    """
    source, system = figure.split()
    everything = metrics(ref)
    rounds, _ = everything.pop("rounds"), everything.pop("exported", None)
    for found in (rounds, everything):
        if system in found.get(source, {}):
            scores = found[source][system]
            return scores.get("detector", scores)  # an arm has systems, of which the detector is one
    try:
        return json.loads(git("show", f"{ref}:reports/baselines/{source}.json"))[figure]
    except (RuntimeError, KeyError) as error:
        raise ValueError(
            f"{ref} has no figure {figure!r}: it has {', '.join([*rounds, *everything])}, and what its `baselines` names"
        ) from error


def seeds(ref: str) -> dict[str, object]:
    """`seed` (of the data) and `train_seed` as params.yaml of an experiment has them; None where it has none."""
    params = yaml.safe_load(git("show", f"{ref}:params.yaml"))
    return {name: params.get(name) for name in ("seed", "train_seed")}


def with_spread(values: Sequence[float]) -> str:
    """Mean and standard deviation; a dash without values, no deviation of one."""
    if len(values) < 2:
        return f"{values[0]:.2f}" if values else NOTHING
    return f"{mean(values):.2f} ± {stdev(values):.2f}"


def _as_override(parameter: str, value: object) -> str:
    text = json.dumps(value) if isinstance(value, bool) else str(value)
    if not isinstance(value, bool | int | float | str) or not re.fullmatch(r"\w[\w.+-]*|-[\w.]+", text):
        raise ValueError(f"{parameter} has {value!r} in the grid, expected a number, a word, true or false: name other `runs` in a file")
    return text
