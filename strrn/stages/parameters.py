"""Reads params.yaml: each section into the dataclass that stands beside the code it configures.

Unknown keys, wrong types and values out of range end in a ValueError that names the section and the key.
"""

from pathlib import Path
from typing import TypeVar

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

PARAMS_FILE = Path("params.yaml")
Section = TypeVar("Section")


def load_section(section: str, into: type[Section], path: Path = PARAMS_FILE) -> Section:
    """The section (dots lead deeper: `rounds.r1`) of params.yaml as an instance of the dataclass `into`.

    The dataclass has no defaults (a value has one home) and checks its ranges in `__post_init__` with ValueErrors.
    Raises ValueError for a missing section, a missing or unknown key, a wrong type or a value out of range.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path.absolute()} not found: run the stages from the repository's root")
    params = OmegaConf.load(path)
    node = OmegaConf.select(params, section)
    if node is None:
        raise ValueError(f"{path}: section {section!r} is missing; it has {sorted(params)}")
    try:
        merged = OmegaConf.merge(OmegaConf.structured(into), node)
        missing = OmegaConf.missing_keys(merged)
        if missing:
            raise ValueError(f"{path}: section {section!r} lacks {sorted(missing)}")
        return OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:
        raise ValueError(f"{path}, section {section!r}: {str(error).splitlines()[0]}") from error
    except ValueError as error:
        raise ValueError(f"{path}, section {section!r}: {error}") from error


def load_value(key: str, into: type[Section], path: Path = PARAMS_FILE) -> Section:
    """A single value (`seed`, `backbone`). Raises ValueError where it is missing or of another type."""
    value = OmegaConf.select(OmegaConf.load(path), key)
    if not isinstance(value, into):
        raise ValueError(f"{path}: {key} must be a {into.__name__}, found {value!r}")
    return value
