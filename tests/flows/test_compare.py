import re
import subprocess
import sys
from importlib.metadata import version

import pytest
import yaml

from flows.compare import COLUMNS, DATASETS, best, compare, exported_tracker, methods, table
from flows.experiments import grid_runs, read_plan
from tests.flows.conftest import DVC, artifact, interrupt


def run(nme_before: float, nme_after: float | None) -> dict:
    def scores(nme: float | None) -> dict:
        return {dataset: {**dict.fromkeys(COLUMNS, 0.01), "nme_inter_ocular": nme} for dataset in (*DATASETS, "rendered_val")}

    return {"r0": {"detector": scores(nme_before), "tracker": scores(0.05)}, "r1": {"detector": scores(0.05), "tracker": scores(nme_after)}}


def test_table_has_labelled_pictures_and_real_clips_where_all_runs_have_them():
    first, second = run(0.06, 0.03), run(0.08, 0.05)
    for one in (first, second):
        for systems in one.values():
            for scores in systems.values():
                scores["real_clips"] = {"rt_jitter": 0.02, "cycle_error": 0.01, "lost": None}
    first["r0"]["detector"]["own_test"] = {}
    text = table([first, second], "seeds", "command")
    assert "| r1 | tracker | 2.00 ± 0.00 | 1.00 ± 0.00 | - |" in text and "own_test" not in text
    assert "- rt_jitter: r1 tracker +0.0% against r0 detector" in text
    for one in (first, second):
        for systems in one.values():
            for scores in systems.values():
                scores["own_test"] = {"nme_inter_ocular": 0.04, "missing": 0.0}
    assert "**own_test**" in table([first, second], "seeds", "command")


def test_table_shows_mean_spread_and_margin():
    text = table([run(0.06, 0.03), run(0.08, 0.05)], "seeds", "command")
    # Mean of 6 and 8 is 7, sample standard deviation sqrt(2); 4 against 7 is -42.9 %.
    assert "| r0 | detector | 7.00 ± 1.41 |" in text
    assert "| r1 | tracker | 4.00 ± 1.41 |" in text
    assert "r1 tracker -42.9% against r0 detector; difference within a run -3.00 ± 0.00, better in 2 of 2 runs." in text
    mixed = table([run(0.06, 0.03), run(0.08, 0.09)], "seeds", "command")
    assert "r1 tracker -14.3% against r0 detector; difference within a run -1.00 ± 2.83, better in 1 of 2 runs." in mixed


def test_a_metric_that_a_run_does_not_have_is_left_out():
    text = table([run(0.06, None), run(0.08, 0.05)], "seeds", "command")
    assert "r1 tracker -37.5% against r0 detector; difference within a run -3.00, better in 1 of 1 runs." in text
    assert "- nme_inter_ocular: no run has both." in table([run(0.06, None)], "seeds", "command")


def test_the_best_run_has_the_largest_area_on_validation_clips():
    def measured(area: float | None) -> dict:
        rounds = run(0.08, 0.05)
        rounds["r1"]["tracker"]["rendered_val"] = {"auc_0.08_inter_ocular": area}
        return {"rounds": rounds, "exported": "r1"}

    rows = [{"experiment": name, **exported_tracker(measured(area))} for name, area in (("a", 0.5), ("b", 0.7), ("c", 0.7), ("d", None))]
    assert [row["validation"] for row in rows] == [0.5, 0.7, 0.7, None]
    assert best(rows)["experiment"] == "b" and best(rows[3:]) is None
    other = measured(0.6)
    del other["rounds"]["r1"]["tracker"]["rendered_val"]  # a scheme whose points the rendered clips do not have
    assert exported_tracker(other)["validation"] is None
    other["exported"] = "r0"
    assert exported_tracker(other)["rendered_test nme_inter_ocular"] == 0.05  # r0's tracker


def test_a_method_beside_the_rounds_gets_a_row_for_each_setting_and_arm():
    def taught(**errors: float) -> dict:
        return {"rounds": {}, "tsal": {arm: run(nme, None)["r0"] for arm, nme in errors.items()}}

    runs = {f"n-{share}-{seed}": [f"tsal.labels={share}", f"train_seed={seed}"] for share in (0.1, 0.5) for seed in (0, 1)}
    found = {
        "n-0.1-0": taught(start=0.09, supervised=0.08, asynchronous=0.06),
        "n-0.1-1": taught(start=0.09, supervised=0.06, asynchronous=0.05),
        "n-0.5-0": taught(start=0.09, supervised=0.05, asynchronous=0.05),
        "n-0.5-1": taught(start=0.09, supervised=0.05, asynchronous=0.06),
    }
    lines = methods(runs, found)
    rows = [line for line in lines if "| asynchronous |" in line]
    # Means of 6 and 5, of 5 and 6; differences -2 and -1, 0 and 1; once for each data set.
    assert len(rows) == 2 * len(DATASETS)
    assert rows[0].startswith("| `tsal.labels=0.1` | asynchronous | 2 | 5.50 ± 0.71 |") and rows[0].endswith("| -1.50 ± 0.71 | 2 of 2 |")
    assert rows[1].startswith("| `tsal.labels=0.5` | asynchronous | 2 |") and rows[1].endswith("| 0.50 ± 0.71 | 0 of 2 |")
    assert any("error beside supervised" in line for line in lines)
    assert next(line for line in lines if "| supervised |" in line).endswith("|  |  |")
    assert methods({"a": []}, {"a": {"rounds": {}}}) == []


def test_a_method_without_arms_gets_a_row_for_each_system():
    scores = {"rounds": {}, "brf": {"backbone": run(0.04, None)["r0"]["detector"], "brf": {"head_scan": {"nme_inter_ocular": 0.03}}}}
    rows = [line for line in methods({"a": ["x=1"]}, {"a": scores}) if line.startswith("| `x=1`")]
    assert [row.split(" | ")[1:4] for row in rows[2:]] == [["backbone", "1", "4.00"], ["brf", "1", "3.00"]]
    assert rows[3].endswith("| -1.00 | 1 of 1 |") and " | - | " in rows[3]  # what it lacks is not shown


def test_a_grid_has_all_combinations():
    assert grid_runs("g", {"backbone": ["mdm", "hgn"], "rounds.r1.threshold": [0.02, 1e-05], "crop.flip": [True]}) == {
        f"g-backbone={backbone},rounds.r1.threshold={value}": [
            f"backbone={backbone}",
            f"rounds.r1.threshold={value}",
            "crop.flip=true",
        ]
        for backbone in ("mdm", "hgn")
        for value in ("0.02", "1e-05")
    }


@pytest.mark.parametrize("grid", [{}, {"a": []}, {"a": 1}, {"a": [[1]]}, {"a": [None]}, {"a": ["two words"]}, {"a": ["x..y/z"]}])
def test_a_grid_of_anything_else_is_refused(grid):
    with pytest.raises(ValueError, match=r"the grid is .* expected parameters with a list|in the grid, expected a number, a word"):
        grid_runs("g", grid)


def test_a_file_of_anything_else_is_refused(tmp_path):
    file = tmp_path / "plan.yaml"
    file.write_text("name: n\ngrid: {a: [1, 2]}\n")
    assert read_plan(file) == ("n", {"n-a=1": ["a=1"], "n-a=2": ["a=2"]})
    file.write_text("{name: n, common: [b=3], runs: {first: [a=1], second: []}}")
    assert read_plan(file) == ("n", {"n-first": ["b=3", "a=1"], "n-second": ["b=3"]})
    file.write_text("{name: n, common: [b=3], grid: {a: [1]}}")
    assert read_plan(file) == ("n", {"n-a=1": ["b=3", "a=1"]})
    for wrong in ("common: a=1, runs: {a: []}", "common:, runs: {a: []}", "runs: {a: null}", "runs: {a: [1]}"):
        file.write_text(f"{{name: n, {wrong}}}")
        with pytest.raises(ValueError, match="expected a list of overrides"):
            read_plan(file)
    for text, found in (("name: n\n", "name"), ("name: n\nruns: {}\ngrid: {}\n", "name, runs, grid"), ("- a\n", "list")):
        file.write_text(text)
        with pytest.raises(ValueError, match=f"has {found}; expected `name`, and `runs` or `grid`"):
            read_plan(file)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A DVC project whose only stage writes metrics that depend on a parameter; a seed of 99 takes for ever."""
    stage = (
        "import json, os, subprocess, yaml; seed = yaml.safe_load(open('params.yaml'))['train_seed']\n"
        "if seed == 99:\n"
        "    sleeping = subprocess.Popen(['sleep', '300'])\n"
        "    print(f'pid {sleeping.pid}', flush=True)\n"
        "    sleeping.wait()\n"
        "assert seed < 50, f'the seed is {seed}'\n"
        f"scores = {{d: dict.fromkeys({list(COLUMNS)!r}, (seed + 1) / 100) for d in {DATASETS!r}}}\n"
        "scores['rendered_val'] = {'auc_0.08_inter_ocular': 1 - (seed + 1) / 100}\n"
        "os.makedirs('reports', exist_ok=True)\n"
        "json.dump({'rounds': {'r0': {'detector': scores, 'tracker': scores}}}, open('reports/metrics.json', 'w'))\n"
        "os.makedirs('reports/baselines', exist_ok=True)\n"
        "json.dump({'sbr detector': scores}, open('reports/baselines/sbr.json', 'w'))\n"
    )
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "stage.py").write_text(stage)
    metrics = [{f"reports/{name}.json": {"cache": False}} for name in ("metrics", "baselines/sbr")]
    definition = {"cmd": f"{sys.executable} stage.py", "deps": ["stage.py"], "params": ["train_seed"], "metrics": metrics}
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"score": definition}}))
    (folder / "params.yaml").write_text("seed: 7\ntrain_seed: 0\n")
    (folder / "seeds.yaml").write_text("name: seeds\nruns:\n  one: [train_seed=1]\n  two: [train_seed=2]\n")
    (folder / "endless.yaml").write_text("name: endless\ngrid: {train_seed: [99]}\n")
    monkeypatch.chdir(folder)
    for command in (
        ["git", "init", "-q"],
        [*DVC, "init", "-q"],
        ["git", "add", "--all"],
        ["git", "commit", "-q", "-m", "start"],
    ):
        subprocess.run(command, check=True, capture_output=True)
    return folder


def test_experiments_run_once_and_are_compared(project, environment):
    command = [sys.executable, "-m", "flows.compare", "seeds.yaml", "--write", "results.md"]
    first = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert first.returncode == 0, first.stderr + first.stdout
    assert "Running stage 'score'" in first.stderr
    # 2 and 3 %: mean 2.5, standard deviation 0.71.
    written = (project / "results.md").read_text()
    assert "| r0 | detector | 2.50 ± 0.71 |" in written and first.stdout == written
    assert "| seeds-two | 7 | 2 | 0.03 | 0.03 | 0.03 | 0.03 | 0.97 | `train_seed=2` |" in written
    assert "Best on the validation clips: `seeds-one`, auc_0.08 0.9800." in written
    assert re.search(rf"Commit \w+; Python 3\.\d+\.\d+, dvc {version('dvc')}, torch .*, numpy .*, prefect .*; .+, \d+ cores\.", written)
    second = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert "Running stage" not in second.stderr
    assert "2.50 ± 0.71" in second.stdout
    # Experiments of an older commit say nothing of this one.
    (project / "stage.py").write_text((project / "stage.py").read_text().replace("(seed + 1)", "(seed + 3)"))
    subprocess.run(["git", "commit", "-qam", "another score"], check=True)
    third = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert "4.50 ± 0.71" in third.stdout, third.stderr
    broken = subprocess.run([*command[:3], "missing.yaml"], env=environment, capture_output=True, text=True)
    assert broken.returncode == 1
    assert "error: FileNotFoundError" in broken.stderr


def test_a_grid_is_compared_and_the_best_applied(server, project, caplog):
    text = compare(grid={"train_seed": [1, 0]})  # 0 as in params.yaml already
    rows = artifact("experiments")
    assert [(row["experiment"], row["train_seed"], row["validation"]) for row in rows] == [
        ("grid-train_seed=1", 1, 0.98),
        ("grid-train_seed=0", 0, 0.99),
    ]
    assert "`dvc exp apply 'grid-train_seed=0'`" in text
    (project / "params.yaml").write_text("seed: 8\ntrain_seed: 0\n")
    state = compare(grid={"train_seed": [1, 60]}, return_state=True)
    assert state.is_failed() and "1 of 2 experiments failed: grid-train_seed=60" in state.message and "the seed is 60" in caplog.text
    assert "changes that are not committed into the experiments that run now, 1:  M params.yaml" in caplog.text
    subprocess.run(["git", "checkout", "-q", "params.yaml"], check=True)
    subprocess.run([*DVC, "exp", "apply", "grid-train_seed=1"], check=True, capture_output=True)
    assert yaml.safe_load((project / "params.yaml").read_text()) == {"seed": 7, "train_seed": 1}
    assert "give one of them" in compare(return_state=True).message


PLAN = """
name: paper
title: Table 1
paper_columns: [300VW]
columns: [rendered_test nme_inter_ocular, head_scan nme_inter_ocular]
seeds: [1, 2, 60]
runs: {mdm: []}
rows:
  - {method: MDM, paper: [9.88], run: mdm, figure: r0 detector}
  - {method: SBR, paper: [5.77], run: mdm, figure: sbr detector}
  - {method: TSTN, paper: [5.36]}
"""


def test_a_name_that_has_run_with_other_values_is_refused(server, project, caplog):
    plan = project / "seeds.yaml"
    compare("seeds.yaml")
    plan.write_text(plan.read_text().replace("train_seed=1", "train_seed=3"))
    state = compare("seeds.yaml", return_state=True)
    assert state.is_failed() and "seeds-one of this commit has run with other values: train_seed is 1, not 3" in state.message
    subprocess.run([*DVC, "exp", "remove", "seeds-one"], check=True, capture_output=True)
    assert "| seeds-one | 7 | 3 |" in compare("seeds.yaml")
    subprocess.run(["git", "commit", "-q", "--allow-empty", "-m", "next"], check=True)
    compare("seeds.yaml")
    assert "of other commits, which DVC's cache knows where no stage has changed: {'seeds-one': " in caplog.text


def test_an_experiment_that_fails_does_not_stop_the_others(server, project, caplog):
    (project / "plan.yaml").write_text("name: some\nruns:\n  bad: [train_seed=60]\n  good: [train_seed=1]\n")
    state = compare("plan.yaml", return_state=True)
    assert state.is_failed() and "1 of 2 experiments failed: some-bad" in state.message
    assert "the seed is 60" in caplog.text and "| some-good | 7 | 1 |" in caplog.text


def test_a_long_name_of_a_grid_becomes_a_hash():
    grid = {f"a.rather.long.name.of.parameter.{number}": [1, 2] for number in range(6)}
    names = grid_runs("g", grid)
    assert len(names) == 64 and all(len(name) < 20 for name in names)


def test_a_papers_table_goes_on_where_a_run_fails_and_shows_it(project, environment):
    (project / "table.yaml").write_text(PLAN)
    command = [sys.executable, "-m", "flows.compare", "table.yaml", "--write", "table.md"]
    only = subprocess.run([*command, "--seeds", "60", "1"], env=environment, capture_output=True, text=True)
    assert only.returncode == 0, only.stderr
    assert "the seed is 60" in only.stderr
    # 2 %, of seed 1.
    assert "| MDM | 9.88 | 2.00 | 2.00 | `mdm` r0 detector | 1 of 3, failed: 60 |" in only.stdout
    assert "| SBR | 5.77 | 2.00 | 2.00 | `mdm` sbr detector | 1 of 3, failed: 60 |" in only.stdout
    assert "| TSTN | 5.36 | - | - | - | - |" in only.stdout
    more = subprocess.run([*command, "--seeds", "2"], env=environment, capture_output=True, text=True)
    assert "| MDM | 9.88 | 2.50 ± 0.71 | 2.50 ± 0.71 | `mdm` r0 detector | 2 of 3 |" in more.stdout, more.stderr
    shown = subprocess.run([*command, "--seeds"], env=environment, capture_output=True, text=True)
    assert shown.stderr == "" and "2 of 3 |" in shown.stdout  # no server, no lock
    assert (project / "table.md").read_text() == shown.stdout
    (project / "table.yaml").write_text(PLAN.replace("sbr detector", "r9 detector"))
    wrong = subprocess.run([*command, "--seeds"], env=environment, capture_output=True, text=True)
    assert wrong.returncode == 1 and "has no figure 'r9 detector': it has r0, and what its `baselines` names" in wrong.stderr
    of_runs = subprocess.run([*command[:3], "seeds.yaml", "--seeds", "1"], env=environment, capture_output=True, text=True)
    assert of_runs.returncode == 1 and "seeds.yaml is no paper's table" in of_runs.stderr


def test_a_cancelled_experiment_ends_with_its_processes_and_the_next_one_runs(project, environment):
    interrupt([sys.executable, "-m", "flows.compare", "endless.yaml"], environment, num_processes=1)
    assert "`grid-train_seed=1`, auc_0.08 0.9800" in compare(grid={"train_seed": [1]})
