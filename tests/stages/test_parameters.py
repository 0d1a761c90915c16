import enum
from dataclasses import dataclass
from pathlib import Path

import pytest

from strrn.stages import parameters
from strrn.stages.parameters import load_section, load_value


class Colour(enum.Enum):
    red = "red"
    blue = "blue"


@dataclass  # OmegaConf cannot merge into a nested frozen one
class Inner:
    rate: float


@dataclass
class Section:
    count: int
    colour: Colour
    sizes: list[int]
    inner: Inner

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ValueError(f"count must not be negative, found {self.count}")


GOOD = """
seed: 3
thing: {count: 2, colour: blue, sizes: [1, 2], inner: {rate: 1}}
deep:
  thing: {count: 4, colour: red, sizes: [], inner: {rate: 0.5}}
"""


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(parameters, "KEYS", {"": "seed thing deep", "deep": "thing"})
    (tmp_path / "params.yaml").write_text(GOOD)
    return tmp_path / "params.yaml"


def test_section_becomes_its_dataclass(params: Path) -> None:
    assert load_section("thing", Section, params) == Section(2, Colour.blue, [1, 2], Inner(1.0))
    assert load_section("deep.thing", Section, params).count == 4


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("count: 2", "cuont: 2", ["thing", "cuont"]),
        ("seed: 3", "seed: 3\nsead: 4", ["unknown key", "sead", "seed"]),
        ("deep:", "deep:\n  think: 1", ["deep", "unknown key", "think", "thing"]),
        ("count: 2, ", "", ["thing", "lacks", "count"]),
        ("{rate: 1}", "{}", ["thing", "lacks", "rate"]),
        ("{rate: 1}", "{rate: 1, slope: 2}", ["thing", "slope"]),
        ("count: 2", "count: two", ["thing", "two"]),
        ("count: 2", "count: 2.5", ["thing", "2.5"]),
        ("colour: blue", "colour: pink", ["thing", "pink", "red", "blue"]),
        ("count: 2", "count: -2", ["thing", "count must not be negative, found -2"]),
    ],
)
def test_wrong_values_are_named(params: Path, old: str, new: str, named: list[str]) -> None:
    params.write_text(GOOD.replace(old, new))
    with pytest.raises(ValueError) as caught:
        load_section("thing", Section, params)
    message = str(caught.value)
    assert "params.yaml" in message and all(word in message for word in named), message


def test_missing_section_is_named_with_those_that_exist(params: Path) -> None:
    with pytest.raises(ValueError, match="'think' is missing or empty; the file has seed, thing, deep"):
        load_section("think", Section, params)


def test_missing_file_says_where_to_stand(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"params\.yaml not found: run the stages from the repository's root"):
        load_section("thing", Section, tmp_path / "params.yaml")


def test_single_values(params: Path) -> None:
    assert load_value("seed", int, params) == 3
    with pytest.raises(ValueError, match="seed must be a str, found 3"):
        load_value("seed", str, params)
    with pytest.raises(ValueError, match="'sead' is missing or empty"):
        load_value("sead", int, params)


def test_a_single_value_of_an_enum(params: Path) -> None:
    params.write_text("seed: blue\n")
    assert load_value("seed", Colour, params) is Colour.blue
    params.write_text("seed: green\n")
    with pytest.raises(ValueError, match=r"seed must be one of \['red', 'blue'\], found 'green'"):
        load_value("seed", Colour, params)
