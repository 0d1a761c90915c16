"""constraints.txt pins everything that `pip install '.[pipeline,dev]'` brings, exactly."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
NOT_PINNED = {"bench"}  # goes into a virtual environment of its own
LINE = re.compile(r"([A-Za-z0-9._-]+)==([0-9][A-Za-z0-9.]*)")


def pins() -> dict[str, str]:
    lines = [line for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    matches = [LINE.fullmatch(line) for line in lines]
    loose = [line for line, match in zip(lines, matches, strict=True) if match is None]
    assert not loose, f"not an exact pin without a local version: {loose}"
    return {canonicalize_name(match[1]): match[2] for match in matches}


def declared() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = {"": project["dependencies"], **project["optional-dependencies"]}
    return [Requirement(line) for name, group in groups.items() if name not in NOT_PINNED for line in group]


def test_pins_meet_what_pyproject_asks_for() -> None:
    pinned = pins()
    for requirement in declared():
        name = canonicalize_name(requirement.name)
        assert name in pinned, f"{name} is in pyproject.toml but not in constraints.txt: make it anew, its first lines say how"
        assert requirement.specifier.contains(pinned[name]), f"{requirement} in pyproject.toml, {pinned[name]} in constraints.txt"


def test_pins_cover_what_the_requirements_require() -> None:
    """Walks the metadata of the installed packages. Those of torch differ from build to build (CUDA), so its own end the walk."""
    pinned, unpinned = pins(), set()
    waiting, seen = declared(), set()
    while waiting:
        requirement = waiting.pop()
        name, extras = canonicalize_name(requirement.name), {"", *requirement.extras}
        if (name, frozenset(extras)) in seen:
            continue
        seen.add((name, frozenset(extras)))
        try:
            found = distribution(name)
        except PackageNotFoundError:
            pytest.fail(f"{name} is required but not installed: run `make test`")
        if name not in pinned:
            unpinned.add(name)
        for line in (found.requires or []) if name != "torch" else []:
            needed = Requirement(line)
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(needed)
    assert not unpinned, f"not in constraints.txt: {sorted(unpinned)}"
