import ast
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from strrn.stages.check import SECTIONS, VALUES, check_parameters
from tests.test_own_data import FIVE

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
        ("labels.own", "/data/faces.csv", ValueError, r"section 'labels': own: expected a list, written \[a, b\]"),
        ("refine.loop.batch_size", 0, ValueError, "refine.loop"),
        ("sbr.data.weight", "much", ValueError, "sbr.data"),
        ("tsal.arms.asynchronous.queue", -1, ValueError, "asynchronous"),
        ("report.pictures", 3, ValueError, "pictures"),
        ("rounds.r2.from", "r3", ValueError, r"rounds\.r2\.from"),
        ("rounds.r2.threshold", "low", ValueError, r"rounds\.r2"),
        ("export.round", "r7", ValueError, r"export\.round: found 'r7'"),
        ("backbone", "vgg", ValueError, r"backbone must be one of \['mdm', 'hgn'\]"),
        ("labels.rendered", "true", ValueError, "labels.rendered must be a bool, found 'true'"),
        ("labels.semi_shre", 0.5, ValueError, "semi_shre"),
        ("train_seed", -1, ValueError, "train_seed must be a whole number of at least 0, found -1"),
        ("seed", True, ValueError, "seed must be a whole number of at least 0, found True"),
        ("tsal.labels", 5.0, ValueError, "tsal.labels must be a share above 0, found 5.0"),
        ("tsal.arms", None, ValueError, "'tsal.arms' is missing or empty"),
        ("baselines", ["sbrr"], ValueError, r"baselines: found 'sbrr', expected some of \['sbr', 'tsal', 'sa'\]"),
        ("baselines", ["sbr", "sbr"], ValueError, "an entry stands twice"),
        ("stills", "data/aligned/sa/searched", ValueError, "is made by no stage: give data/crops, or a folder of data/aligned/sa with"),
        ("rounds.r-1", {"from": "r0"}, ValueError, r"rounds\.r-1: a round's name is letters and digits"),
        ("rounds.r0", {"from": "r0"}, ValueError, r"rounds\.r0: .* is not r0"),
        ("train_sed", 1, ValueError, "unknown key 'train_sed', did you mean 'train_seed'"),
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


def test_what_labels_and_scheme_do_not_allow_together(params: Path, tmp_path: Path) -> None:
    (tmp_path / "five.yaml").write_text(FIVE)
    change(params, "scheme", str(tmp_path / "five.yaml"))
    with pytest.raises(ValueError, match="scheme 'five' does not say how its own are made of them: give it a from_ibug68"):
        check_parameters(params)
    change(params, "labels.own", ["faces.csv"])
    change(params, "labels.rendered", False)
    check_parameters(params)
    change(params, "align", ["sa"])
    with pytest.raises(ValueError, match="scheme 'five' has no component 'cheek'"):
        check_parameters(params)
    change(params, "align", [])
    change(params, "labels.semi_share", 0.1)
    with pytest.raises(ValueError, match=r"labels\.semi_share is of annotated clips: set labels\.rendered to true, or name 300VW"):
        check_parameters(params)


def test_a_backbone_of_ones_own_needs_its_contract(params: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.onnx").write_bytes(b"")
    change(params, "refine.backbone", str(tmp_path / "mine.onnx"))
    with pytest.raises(FileNotFoundError, match=r"no .*mine\.yaml: write beside"):
        check_parameters(params)
