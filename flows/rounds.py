"""Adds to params.yaml as text, so that every other character of it stays: comments, order, layout."""

import copy
from pathlib import Path

import yaml

from strrn.core.files import write_text

PARAMS_FILE = Path("params.yaml")
FIRST = "r0"


def video_folders(path: Path = PARAMS_FILE) -> list[str]:
    """`crop.folders`. Raises FileNotFoundError where there is no params.yaml, ValueError where it has no such list."""
    return _load(path)["crop"]["folders"]


def add_round(folder: str, threshold: float | None, path: Path = PARAMS_FILE) -> str:
    """Add the folder to `crop.folders`, and a round to `rounds` that starts from the last one. Returns its name.

    The round is called r3 where r2 is the highest number. It has the values of the last round; threshold, where given, replaces its.
    Raises as `video_folders`, and ValueError for a layout into which the lines cannot be put.
    """
    params = _load(path)
    wanted = copy.deepcopy(params)
    numbers = [int(name[1:]) for name in (FIRST, *params["rounds"]) if name[0] == "r" and name[1:].isdecimal()]
    last, name = next(reversed(params["rounds"]), FIRST), f"r{max(numbers) + 1}"
    entry = params["rounds"].get(last, {}) | {"from": last} | ({} if threshold is None else {"threshold": threshold})
    wanted["crop"]["folders"].append(folder)
    wanted["rounds"][name] = entry
    text = insert(path.read_text(encoding="utf-8"), ["crop", "folders"], [folder])
    text = insert(text, ["rounds"], {name: {"from": last} | entry})
    if yaml.safe_load(text) != wanted:
        raise ValueError(f"{path} is laid out in an unexpected way. Add by hand: {folder} to crop.folders, {name}: {entry} to rounds")
    write_text(path, text)
    return name


def insert(text: str, keys: list[str], items: list | dict) -> str:
    """YAML text with the items at the end of the list or mapping at `keys`, in its style (a line below the last one, or in brackets)."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    for key in keys:
        node = next(value for name, value in node.value if name.value == key)
    written = yaml.safe_dump(items, default_flow_style=True, sort_keys=False, allow_unicode=True, width=float("inf")).strip()[1:-1]
    if node.flow_style:
        at = _last(node).end_mark.index if node.value else node.start_mark.index + 1
        return text[:at] + (", " if node.value else "") + written + text[at:]
    line = " " * node.start_mark.column + ("- " if isinstance(items, list) else "") + written
    last = node
    while isinstance(last, yaml.CollectionNode) and not last.flow_style:
        last = _last(last)  # where a block ends, its node has comments and empty lines in it
    at = text.find("\n", last.end_mark.index)
    return f"{text[:at]}\n{line}{text[at:]}" if at >= 0 else f"{text}\n{line}\n"


def _last(node: yaml.CollectionNode) -> yaml.Node:
    return node.value[-1] if isinstance(node, yaml.SequenceNode) else node.value[-1][1]


def _load(path: Path) -> dict:
    if not path.is_file():
        raise FileNotFoundError(f"{path.absolute()} not found: run the flow from the repository's root")
    params = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not (isinstance(params, dict) and isinstance(params.get("crop"), dict) and isinstance(params["crop"].get("folders"), list)):
        raise ValueError(f"{path}: crop.folders must be a list, [] for none")
    if not isinstance(params.get("rounds"), dict):
        raise ValueError(f"{path}: rounds must be a mapping, {{}} for none")
    for name, entry in params["rounds"].items():
        if not isinstance(name, str) or not isinstance(entry, dict):
            raise ValueError(f"{path}: rounds.{name} must be a name with a mapping like {{from: r0}}, found {entry!r}")
    return params
