import json
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from flows import experiments
from flows.experiments import figure_scores
from flows.tables import Row, Table, beside_the_paper, read_table
from tests.flows.conftest import ROOT

PLANS = [*sorted((ROOT / "experiments").glob("table*.yaml")), ROOT / "experiments/combined.yaml"]
COLUMNS = ["rendered_test rmse_inter_pupil", "head_scan rmse_inter_pupil"]


def small(**changes: object) -> Table:
    content = {
        "name": "p",
        "title": "A table",
        "paper_columns": ["easy", "hard"],
        "columns": COLUMNS,
        "seeds": [0, 1, 2],
        "runs": {"mdm": ["baselines=[sbr]"], "semi": ["labels.semi_share=0.1"]},
        "rows": [
            Row("MDM", (9.88, 8.14), "mdm", "r0 detector"),
            Row("STRRN", (5.03, 4.74), "mdm", "r2 tracker"),
            Row("TSTN", (5.36, 4.51)),
            Row("Semi", (4.67, 4.0), "semi", "r2 tracker"),
            Row("ours only", (), "mdm", "r2 tracker"),
        ],
    }
    return Table(**(content | changes))


def scores(rendered: float, scan: float | None) -> dict:
    return {"rendered_test": {"rmse_inter_pupil": rendered}, "head_scan": {"rmse_inter_pupil": scan}}


def test_rows_that_share_a_run_share_its_experiments():
    assert small().experiments([1, 0]) == {
        "p-mdm-seed1": ["baselines=[sbr]", "train_seed=1"],
        "p-semi-seed1": ["labels.semi_share=0.1", "train_seed=1"],
        "p-mdm-seed0": ["baselines=[sbr]", "train_seed=0"],
        "p-semi-seed0": ["labels.semi_share=0.1", "train_seed=0"],
    }
    assert small().experiments([]) == {}
    with pytest.raises(ValueError, match=r"seeds \[7\] are not among those of the table, \[0, 1, 2\]"):
        small().experiments([0, 7])


def test_a_row_has_the_papers_numbers_ours_and_the_seeds_that_there_are():
    found = {
        ("p-mdm-seed0", "r0 detector"): scores(0.03, 0.07),
        ("p-mdm-seed2", "r0 detector"): scores(0.05, 0.08),
        ("p-mdm-seed0", "r2 tracker"): scores(0.025, None),
    }
    lines = beside_the_paper(small(), found, ["p-mdm-seed1", "p-semi-seed0"], "command")
    # Mean of 3 and 5 is 4, sample standard deviation sqrt(2); of 7 and 8 it is 7.5 and sqrt(1 / 2). One value has no spread.
    assert lines[4:11] == [
        "| method | paper: easy | paper: hard | rendered_test rmse_inter_pupil | head_scan rmse_inter_pupil | run | seeds |",
        "|---|---|---|---|---|---|---|",
        "| MDM | 9.88 | 8.14 | 4.00 ± 1.41 | 7.50 ± 0.71 | `mdm` r0 detector | 2 of 3, failed: 1 |",
        "| STRRN | 5.03 | 4.74 | 2.50 | - | `mdm` r2 tracker | 1 of 3, failed: 1 |",
        "| TSTN | 5.36 | 4.51 | - | - | - | - |",
        "| Semi | 4.67 | 4.00 | - | - | `semi` r2 tracker | 0 of 3, failed: 0 |",
        "| ours only | - | - | 2.50 | - | `mdm` r2 tracker | 1 of 3, failed: 1 |",
    ]
    assert "- `semi`: `labels.semi_share=0.1`" in lines


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (Row("a", (1.0,)), "row 'a' has 1 of the paper's numbers, expected 2"),
        (Row("a", (), "mdm"), "row 'a' has run mdm and figure None"),
        (Row("a", (), "other", "r0 detector"), r"row 'a' has run other and figure r0 detector, expected one of \['mdm', 'semi'\]"),
        (Row("a", (), "mdm", "detector"), "row 'a' has figure 'detector', expected two words"),
    ],
)
def test_rows_that_do_not_fit_are_refused(row, message):
    with pytest.raises(ValueError, match=message):
        small(rows=[row])


def test_a_file_that_is_no_table_or_a_wrong_one(tmp_path):
    file = tmp_path / "plan.yaml"
    file.write_text("name: n\nruns: {a: []}\n")
    assert read_table(file) is None
    file.write_text("name: n\nruns: {a: []}\nrows: []\n")
    with pytest.raises(
        ValueError, match=r"plan\.yaml has name, runs, rows; expected columns, name, paper_columns, rows, runs, seeds, title"
    ):
        read_table(file)
    whole = {"name": "n", "title": "t", "paper_columns": [], "columns": ["nme"], "seeds": [0], "runs": {}, "rows": []}
    file.write_text(yaml.safe_dump(whole))
    with pytest.raises(ValueError, match=r"plan\.yaml: column 'nme', expected a dataset and a metric"):
        read_table(file)
    file.write_text(yaml.safe_dump(whole | {"columns": COLUMNS, "rows": [{"method": "a", "papers": []}]}))
    with pytest.raises(ValueError, match=r"row {'method': 'a', 'papers': \[\]}: expected `method` and some of figure, paper, run"):
        read_table(file)


@pytest.mark.parametrize("file", PLANS, ids=lambda file: file.stem)
def test_the_papers_tables_override_what_there_is(file: Path):
    table, parameters = read_table(file), OmegaConf.load(ROOT / "params.yaml")
    rounds = ["r0", *parameters.rounds]
    assert {row.run for row in table.rows if row.run} == set(table.runs)
    for overrides in table.runs.values():
        for override in overrides:
            assert OmegaConf.select(parameters, override.split("=")[0]) is not None, override
    for row in table.rows:
        source = (row.figure or "r0 tracker").split()[0]
        assert source in (*rounds, "brf") or f"baselines=[{source}]" in table.runs[row.run]


def test_a_figure_is_of_a_round_a_method_an_arm_or_a_baseline(monkeypatch):
    files = {
        "reports/metrics.json": {
            "rounds": {"r0": {"detector": {"clips": {"nme": 1}}}},
            "brf": {"one_euro": {"clips": {"nme": 2}}},
            "sa": {"semantic": {"detector": {"clips": {"nme": 3}}}},
        },
        "reports/baselines/sbr.json": {"sbr detector": {"clips": {"nme": 4}}},
    }

    def git(_: str, path: str) -> str:
        name = path.removeprefix("ref:")
        if name not in files:
            raise RuntimeError(path)
        return json.dumps(files[name])

    monkeypatch.setattr(experiments, "git", git)
    for number, figure in enumerate(("r0 detector", "brf one_euro", "sa semantic", "sbr detector"), 1):
        assert figure_scores("ref", figure) == {"clips": {"nme": number}}
    with pytest.raises(ValueError, match="ref has no figure 'tsal asynchronous'"):
        figure_scores("ref", "tsal asynchronous")


def test_overrides_in_common_stand_before_those_of_a_run(tmp_path):
    file = tmp_path / "plan.yaml"
    plan = {"name": "n", "title": "t", "paper_columns": [], "columns": COLUMNS, "seeds": [0], "runs": {"a": ["x=2"]}, "rows": []}
    file.write_text(yaml.safe_dump(plan | {"common": ["x=1"]}))
    assert read_table(file).runs == {"a": ["x=1", "x=2"]}


def test_experiments_that_the_tables_share_are_the_same():
    shared: dict[str, list[str]] = {}
    for file in PLANS:
        table = read_table(file)
        for name, overrides in table.experiments(table.seeds).items():
            assert shared.setdefault(name, overrides) == overrides
    assert {"paper-mdm-seed0", "paper-mdm-seed1", "paper-mdm-seed2"} <= set(shared)
