"""Runs a file of `experiments/` through `dvc exp` and prints how the last tracker compares with the first detector, over all runs.

    python -m flows.compare experiments/seeds.yaml                  # runs what has not run yet, then prints the table
    python -m flows.compare experiments/seeds.yaml --write docs/results.md

A file has a `name` and `runs`: name of a run -> overrides as of `dvc exp run -S`. Experiments are called NAME-RUN; they run from the last
commit, in a folder of their own (`--temp`), one after the other. An experiment of this commit is not run again; after a commit that
changes no stage, DVC takes the results from its cache.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import mean, stdev

import yaml

from flows.graph import DVC

DATASETS = ("rendered_test", "head_scan")
COLUMNS = {
    "nme_inter_ocular": ("nme inter-ocular, %", 100),
    "residual_jitter": ("residual jitter, % of d", 100),
    "jitter_e3_excess": ("E3 above the truth's, % of width", 100),
    "lag_e1": ("lag E1, frames", 1),
    "missing": ("missing, %", 100),
}


def experiment_refs() -> dict[str, str]:
    """Name of an experiment of the current commit -> its git reference."""
    commit = _git("rev-parse", "HEAD").strip()
    lines = _git("for-each-ref", "--format=%(refname)", f"refs/exps/{commit[:2]}/{commit[2:]}").splitlines()
    return {ref.rsplit("/", 1)[1]: ref for ref in lines}


def run(name: str, overrides: list[str]) -> None:
    """Run one experiment. Raises RuntimeError where it fails; DVC's output goes to this terminal."""
    command = [*DVC, "exp", "run", "--temp", "--name", name]
    for override in overrides:
        command += ["-S", override]
    if subprocess.run(command).returncode != 0:
        raise RuntimeError(f"experiment {name} failed; its output is above. Repeat the command: what has run is not run again")


def metrics(ref: str) -> dict:
    """reports/metrics.json of an experiment."""
    return json.loads(_git("show", f"{ref}:reports/metrics.json"))["rounds"]


def table(runs: list[dict], title: str, command: str) -> str:
    """Markdown: a line for every round and system, mean and standard deviation over the runs; the margin against r0's detector below."""
    lines = [f"## {title}", "", f"`{command}`: {len(runs)} runs, mean ± standard deviation.", ""]
    for dataset in DATASETS:
        lines += [f"**{dataset}**", "", "| round | system | " + " | ".join(heading for heading, _ in COLUMNS.values()) + " |"]
        lines += ["|" + "---|" * (len(COLUMNS) + 2)]
        for round_name in runs[0]:
            for system in ("detector", "tracker"):
                cells = []
                for column, (_, factor) in COLUMNS.items():
                    values = [run[round_name][system][dataset][column] for run in runs]
                    known = [value * factor for value in values if value is not None]
                    cells.append(_with_spread(known) if known else "-")
                lines.append(f"| {round_name} | {system} | " + " | ".join(cells) + " |")
        lines += [""]
        last = list(runs[0])[-1]
        for column in ("nme_inter_ocular", "residual_jitter"):
            pairs = [(run["r0"]["detector"][dataset][column], run[last]["tracker"][dataset][column]) for run in runs]
            pairs = [pair for pair in pairs if None not in pair]
            if not pairs:
                lines.append(f"- {column}: no run has both.")
                continue
            before, after = zip(*pairs, strict=True)
            differences = [(b - a) * COLUMNS[column][1] for a, b in zip(before, after, strict=True)]
            better = sum(difference < 0 for difference in differences)
            lines.append(
                f"- {column}: {last} tracker {mean(after) / mean(before) - 1:+.1%} against r0 detector; difference within a run "
                f"{_with_spread(differences)}, better in {better} of {len(pairs)} runs."
            )
        lines += [""]
    return "\n".join(lines)


def _with_spread(values: list[float]) -> str:
    return f"{mean(values):.2f} ± {stdev(values) if len(values) > 1 else 0:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="a file of experiments/")
    parser.add_argument("--write", type=Path, help="Markdown file to write the table to, besides printing it")
    arguments = parser.parse_args()
    try:
        plan = yaml.safe_load(arguments.file.read_text(encoding="utf-8"))
        names = {f"{plan['name']}-{run_name}": overrides for run_name, overrides in plan["runs"].items()}
        for name, overrides in names.items():
            if name not in experiment_refs():
                run(name, overrides)
        refs = experiment_refs()
        command = f"python -m flows.compare {arguments.file}"
        text = table([metrics(refs[name]) for name in names], plan["name"], command)
    except (OSError, RuntimeError, KeyError, yaml.YAMLError, subprocess.CalledProcessError) as error:
        sys.exit(f"error: {type(error).__name__}: {error}")
    sys.stdout.write(text + "\n")
    if arguments.write:
        arguments.write.write_text(text + "\n", encoding="utf-8")


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main()
