import ast
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from strrn.stages.check import SECTIONS, VALUES, check_parameters

ROOT = Path(__file__).parents[2]


@pytest.fixture
def params(tmp_path: Path) -> Path:
    path = tmp_path / "params.yaml"
    path.write_bytes((ROOT / "params.yaml").read_bytes())
    return path


def change(path: Path, key: str, value: object) -> None:
    values = OmegaConf.load(path)
    OmegaConf.update(values, key, value, force_add=True)
    OmegaConf.save(values, path)


def test_the_repository_own_values_are_right() -> None:
    check_parameters(ROOT / "params.yaml")


@pytest.mark.parametrize(
    ("key", "value", "error", "named"),
    [
        ("labels.own", "/data/faces.csv", ValueError, "labels"),
        ("refine.loop.batch_size", 0, ValueError, "refine.loop"),
        ("sbr.data.weight", "much", ValueError, "sbr.data"),
        ("tsal.arms.asynchronous.queue", -1, ValueError, "asynchronous"),
        ("report.pictures", 3, ValueError, "pictures"),
        ("rounds.r2.from", "r3", ValueError, r"rounds\.r2\.from"),
        ("rounds.r2.threshold", "low", ValueError, r"rounds\.r2"),
        ("export.round", "r7", ValueError, r"export\.round: found 'r7'"),
        ("backbone", "vgg", ValueError, r"backbone must be one of \['mdm', 'hgn'\]"),
        ("refine.backbone", "mine.onnx", FileNotFoundError, "there is no file 'mine.onnx'"),
    ],
)
def test_a_wrong_value_of_any_stage_is_named(params: Path, key: str, value: object, error: type[Exception], named: str) -> None:
    change(params, key, value)
    with pytest.raises(error, match=named):
        check_parameters(params)


def test_new_renders_need_rendered_labels(params: Path) -> None:
    change(params, "pretrain.stream.fresh", 100)
    check_parameters(params)
    change(params, "labels.own", ["faces.csv"])
    change(params, "labels.rendered", False)
    with pytest.raises(ValueError, match=r"pretrain\.stream\.fresh .* must be 0 where labels\.rendered is false"):
        check_parameters(params)


def test_what_the_stages_read_is_checked() -> None:
    """Every section and value whose name stands in a stage's code; those of an f-string are left out."""
    calls = [
        node
        for file in sorted((ROOT / "strrn/stages").glob("*.py"))
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("load_section", "load_value")
    ]
    read = {call.args[0].value for call in calls if isinstance(call.args[0], ast.Constant)}
    assert len(read) > 30
    below = tuple(f"{section}." for section in SECTIONS)  # a value of a section that is checked
    assert sorted(name for name in read if name not in SECTIONS | VALUES and not name.startswith(below)) == []
