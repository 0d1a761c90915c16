"""Reads params.yaml: each section into the dataclass that stands beside the code it configures.

Unknown keys, wrong types and values out of range end in a ValueError that names the section and the key.
"""

from difflib import get_close_matches
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

PARAMS_FILE = Path("params.yaml")
# Sections that no dataclass stands for, "" is the file itself: what they may hold.
KEYS = {
    "": "seed train_seed scheme backbone stills mdm hgn strrn augmentation motion flicker pretrain mine distil baselines sbr tsal sa rounds "
    "align download render labels videos crop runtime export evaluate report refine temporal",
    "pretrain": "encoder stream mdm hgn strrn",
    "distil": "data detector tracker",
    "sbr": "data detector",
    "tsal": "labels data view self_training arms detector",
    "sa": "data noise search ghcu start detector correction",
    "refine": "backbone head data video jitter loop",
}
Section = TypeVar("Section")


def load_section(section: str, into: type[Section], path: Path = PARAMS_FILE) -> Section:
    """The section (dots lead deeper: `rounds.r1`) of params.yaml as an instance of the dataclass `into`.

    The dataclass has no defaults (a value has one home) and checks its ranges in `__post_init__` with ValueErrors.
    Raises ValueError for a missing section, a missing or unknown key, a wrong type or a value out of range.
    """
    return merge_section(section, _node(section, path), into, path)


def load_mapping(section: str, path: Path = PARAMS_FILE) -> dict:
    """A section as a plain dictionary, for those whose keys are free (`rounds`)."""
    mapping = OmegaConf.to_container(_node(section, path))
    if not isinstance(mapping, dict):
        raise ValueError(f"{path}: section {section!r} must be a mapping, found {mapping!r}")
    return mapping


def merge_section(section: str, node: DictConfig, into: type[Section], path: Path = PARAMS_FILE) -> Section:
    """`node` as an instance of the dataclass `into`; `section` is its name in messages. Raises as `load_section`."""
    try:
        merged = OmegaConf.merge(OmegaConf.structured(into), node)
        missing = OmegaConf.missing_keys(merged)
        if missing:
            raise ValueError(f"lacks {sorted(missing)}")
        return OmegaConf.to_object(merged)
    except (OmegaConfBaseException, ValueError) as error:
        message = str(error).splitlines()[0]
        if "is not a ListConfig" in message:
            message = "expected a list, written [a, b]"
        key = getattr(error, "full_key", None)
        named = f"{key}: {message}" if key and key not in message else message
        raise ValueError(f"{path}, section {section!r}: {named}") from error


def _node(section: str, path: Path) -> DictConfig:
    if not path.is_file():
        raise FileNotFoundError(f"{path.absolute()} not found: run the stages from the repository's root")
    params = _read(path, path.stat().st_mtime_ns)
    for name, known in KEYS.items():
        unknown = sorted(set((OmegaConf.select(params, name) or {}) if name else params) - set(known.split()))
        if unknown:
            near = get_close_matches(unknown[0], known.split(), 1)
            meant = f"did you mean {near[0]!r}?" if near else f"expected some of: {known}"
            raise ValueError(f"{path}{name and f', section {name!r}'}: unknown key {unknown[0]!r}, {meant}")
    node = OmegaConf.select(params, section)
    if node is None:
        raise ValueError(f"{path}: {section!r} is missing or empty; the file has {', '.join(params)}")
    return node


@lru_cache(maxsize=4)
def _read(path: Path, changed: int) -> DictConfig:
    """changed: when the file was written last."""
    params = OmegaConf.load(path)
    OmegaConf.set_readonly(params, True)
    return params


def load_value(key: str, into: type[Section], path: Path = PARAMS_FILE) -> Section:
    """A single value (`seed`), or the member of an Enum with that value. Raises ValueError where it is missing or another is expected."""
    value = _node(key, path)
    if issubclass(into, Enum):
        known = [member.value for member in into]
        if value not in known:
            raise ValueError(f"{path}: {key} must be one of {known}, found {value!r}")
        return into(value)
    if not isinstance(value, into):
        raise ValueError(f"{path}: {key} must be a {into.__name__}, found {value!r}")
    return value
