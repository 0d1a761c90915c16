import subprocess
import sys

import pytest
import yaml

from flows.compare import COLUMNS, DATASETS, table


def run(nme_before: float, nme_after: float | None) -> dict:
    def scores(nme: float | None) -> dict:
        return {dataset: {**dict.fromkeys(COLUMNS, 0.01), "nme_inter_ocular": nme} for dataset in DATASETS}

    return {"r0": {"detector": scores(nme_before), "tracker": scores(0.05)}, "r1": {"detector": scores(0.05), "tracker": scores(nme_after)}}


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
    assert "r1 tracker -37.5% against r0 detector; difference within a run -3.00 ± 0.00, better in 1 of 1 runs." in text
    assert "- nme_inter_ocular: no run has both." in table([run(0.06, None)], "seeds", "command")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A DVC project whose only stage writes metrics that depend on a parameter."""
    stage = (
        "import json, yaml; seed = yaml.safe_load(open('params.yaml'))['train_seed']\n"
        f"scores = {{d: dict.fromkeys({list(COLUMNS)!r}, (seed + 1) / 100) for d in {DATASETS!r}}}\n"
        "import os; os.makedirs('reports', exist_ok=True)\n"
        "json.dump({'rounds': {'r0': {'detector': scores, 'tracker': scores}}}, open('reports/metrics.json', 'w'))\n"
    )
    (tmp_path / "stage.py").write_text(stage)
    metrics = {"reports/metrics.json": {"cache": False}}
    definition = {"cmd": f"{sys.executable} stage.py", "deps": ["stage.py"], "params": ["train_seed"], "metrics": [metrics]}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"score": definition}}))
    (tmp_path / "params.yaml").write_text("train_seed: 0\n")
    (tmp_path / "seeds.yaml").write_text("name: seeds\nruns:\n  one: [train_seed=1]\n  two: [train_seed=2]\n")
    monkeypatch.chdir(tmp_path)
    for command in (
        ["git", "init", "-q"],
        [sys.executable, "-m", "dvc", "init", "-q"],
        ["git", "add", "--all"],
        ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-q", "-m", "start"],
    ):
        subprocess.run(command, check=True, capture_output=True)
    return tmp_path


def test_experiments_run_once_and_are_compared(project, request):
    environment = {"PYTHONPATH": str(request.config.rootpath), "GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@example.org"}
    environment |= {"GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@example.org", "PATH": "/usr/bin:/bin", "HOME": str(project)}
    command = [sys.executable, "-m", "flows.compare", "seeds.yaml", "--write", "results.md"]
    first = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert first.returncode == 0, first.stderr + first.stdout
    # 2 and 3 %: mean 2.5, standard deviation 0.71.
    assert "| r0 | detector | 2.50 ± 0.71 |" in (project / "results.md").read_text()
    second = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert "Running stage" not in second.stdout
    assert "2.50 ± 0.71" in second.stdout
    # Experiments of an older commit say nothing of this one.
    (project / "stage.py").write_text((project / "stage.py").read_text().replace("(seed + 1)", "(seed + 3)"))
    subprocess.run(["git", "commit", "-qam", "another score"], env=environment, check=True)
    third = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert "4.50 ± 0.71" in third.stdout, third.stderr
    broken = subprocess.run([*command[:3], "missing.yaml"], env=environment, capture_output=True, text=True)
    assert broken.returncode == 1
    assert "error: FileNotFoundError" in broken.stderr
