"""The flow `compare`: experiments through `dvc exp run`, a task each; how they compare, and which of them is best.

    python -m flows.compare experiments/seeds.yaml                  # runs what has not run yet, then prints the table
    python -m flows.compare experiments/seeds.yaml --write docs/results.md
    python -m flows.compare experiments/table1.yaml --seeds 0       # a paper's table, of one seed; without numbers: of what has run

A file has a `name` and `runs` (name of a run -> overrides as of `dvc exp run -S`) or a `grid` (parameter -> values, all combinations).
Experiments are called NAME-RUN; they run from the current commit, in a folder of their own (`--temp`), one after the other. An experiment
of this commit is not run again; after a commit that changes no stage, DVC takes the results from its cache. A file with `rows` is a table of
a paper (`flows.tables`): its experiments are run with every seed. An experiment that fails does not stop the others.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Annotated

import yaml
from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from pydantic import Field

from flows import process_group
from flows.checkout import alone
from flows.commands import git
from flows.experiments import Runs, experiment_refs, figure_scores, grid_runs, metrics, other_values, ran_elsewhere, read_plan, with_spread
from flows.experiments import seeds as seeds_of
from flows.graph import DVC
from flows.tables import Table, beside_the_paper, read_table
from flows.train import stage_environment
from strrn.core.environment import PACKAGES, environment
from strrn.core.summary import STILLS, VALIDATION_METRIC, exported_round, validation_area

DATASETS = ("rendered_test", "head_scan")
COLUMNS = {
    "nme_inter_ocular": ("nme inter-ocular, %", 100),
    "residual_jitter": ("residual jitter, % of d", 100),
    "jitter_e3_excess": ("E3 above the truth's, % of width", 100),
    "lag_e1": ("lag E1, frames", 1),
    "missing": ("missing, %", 100),
}
ERROR = "nme_inter_ocular"
REAL_COLUMNS = {"rt_jitter": ("rt_jitter, % of d", 100), "cycle_error": ("cycle error, % of d", 100), "lost": ("lost, %", 100)}
# Whose change from r0's detector to the last tracker is said.
MARGINS = (ERROR, "residual_jitter", "jitter_e3_excess", "rt_jitter", "cycle_error")
CONTROL = "supervised"  # the arm that other arms of a method are measured by, where it has one of this name


@task(task_run_name="{name}", cache_policy=NO_CACHE, persist_result=False)
def run(name: str, overrides: list[str]) -> None:
    """Run one experiment; the lines of DVC and of the stages go to Prefect's log. Raises CommandError with the last of them."""
    command = [*DVC, "exp", "run", "--temp", "--name", name]
    for override in overrides:
        command += ["-S", override]
    process_group.run(command, get_run_logger().info, stage_environment())


@flow(name="compare", persist_result=False)
@alone
def compare(
    file: Annotated[str, Field(min_length=1)] | None = None,
    grid: dict[str, list[bool | int | float | str]] | None = None,
    seeds: list[int] | None = None,
) -> str:
    """Run what has not run yet of a file of experiments/ or of a grid (parameter -> values, all combinations); compare all of it.

    Returns the comparison as Markdown, which is the artifact `compare` too; the table artifact `experiments` has a row per experiment.
    An experiment that fails does not stop the others; the flow fails at the end, with the comparison of those that ran in its log. A paper's
    table shows what failed; `seeds` are those that are to be run, None all of the file, and the table is of all that have been.
    Raises ValueError where not exactly one of file and grid is given, or seeds for a file without a table, and what `read_table`,
    `read_plan` and `grid_runs` raise.
    """
    if (file is None) == (grid is None):
        raise ValueError(f"file is {file}, grid is {grid}: give one of them")
    if file is not None and (plan := read_table(Path(file))):
        text = paper_table(plan, plan.seeds if seeds is None else seeds, file)
        create_markdown_artifact(text, key="compare", description=plan.title)
        return text
    if seeds is not None:
        raise ValueError(f"seeds are {seeds}, but {file or 'the grid'} is no paper's table: its runs name their seeds themselves")
    name, runs = read_plan(Path(file)) if file is not None else ("grid", grid_runs("grid", grid or {}))
    failed = run_missing(runs)
    runs = {experiment: overrides for experiment, overrides in runs.items() if experiment not in failed}
    refs = experiment_refs()
    if not runs:
        raise RuntimeError(f"all experiments failed: {', '.join(failed)}; the log says why")
    everything = {experiment: metrics(refs[experiment]) for experiment in runs}
    found = {experiment: scores["rounds"] for experiment, scores in everything.items()}
    rows = [{"experiment": experiment, **seeds_of(refs[experiment]), **exported_tracker(everything[experiment])} for experiment in runs]
    command = f"python -m flows.compare {file}" if file is not None else "the flow compare"
    text = "\n".join([table(list(found.values()), name, command), *methods(runs, everything), *conclusion(runs, rows), *made_with()])
    create_table_artifact(rows, key="experiments", description=f"The exported trackers of {name}.")
    create_markdown_artifact(text, key="compare", description=name)
    if failed:
        get_run_logger().info("of the others:\n%s", text)
        raise RuntimeError(f"{len(failed)} of {len(failed) + len(runs)} experiments failed: {', '.join(failed)}; the log says why")
    return text


def run_missing(runs: Runs) -> list[str]:
    """Run the experiments that the current commit does not have. Returns the names of those that failed; the others ran all the same.

    Raises ValueError where one of this name has run with other values.
    """
    refs, log = experiment_refs(), get_run_logger()
    for experiment in runs:
        if experiment in refs and (others := other_values(refs[experiment], runs[experiment])):
            raise ValueError(
                f"experiment {experiment} of this commit has run with other values: {', '.join(others[:5])}. Give the run another name, or "
                f"`dvc exp remove {experiment}`"
            )
    waiting, failed = [experiment for experiment in runs if experiment not in refs], []
    if changes := git("status", "--porcelain", "--untracked-files=no").splitlines():
        log.warning("DVC takes changes that are not committed into the experiments that run now, %d: %s", len(waiting), ", ".join(changes))
    if before := ran_elsewhere(waiting):
        log.info("of other commits, which DVC's cache knows where no stage has changed: %s", before)
    for experiment in waiting:
        try:
            run(experiment, runs[experiment])
        except process_group.CommandError:  # Prefect has logged it
            failed.append(experiment)
    return failed


def paper_table(plan: Table, seeds: Sequence[int], file: str) -> str:
    """Run what is missing of the table of `file` with these seeds. Markdown of all that has been run, with any of its seeds."""
    failed = run_missing(plan.experiments(seeds)) if seeds else []
    refs = experiment_refs()
    shown = {(plan.experiment(row.run, seed), row.figure) for row in plan.rows if row.run and row.figure for seed in plan.seeds}
    found = {(name, figure): figure_scores(refs[name], figure) for name, figure in shown if name in refs}
    return "\n".join([*beside_the_paper(plan, found, failed, f"python -m flows.compare {file}"), *made_with()])


def exported_tracker(metrics: dict) -> dict[str, float | None]:
    """The columns of one experiment: error and jitter of the exported tracker on both test sets, and `validation`, by which runs are ranked
    as rounds are, see `validation_area`."""
    systems = metrics["rounds"][exported_round(metrics)]
    tracker = systems["tracker"]
    columns = {f"{dataset} {column}": tracker[dataset][column] for dataset in DATASETS for column in (ERROR, "residual_jitter")}
    return columns | {"validation": validation_area(systems)}


def best(rows: list[dict]) -> dict | None:
    """The row with the largest `validation`, the first of equal ones; None where no row has any.

    This is the best run, not always the best setting: where runs differ by seed, look at the spread as well.
    """
    return max((row for row in rows if row["validation"] is not None), key=lambda row: row["validation"], default=None)


def conclusion(runs: Runs, rows: list[dict]) -> list[str]:
    """Lines of Markdown: a table of the experiments, the best one, and how to take it over."""
    lines = ["**The exported tracker, by experiment**", "", "| " + " | ".join(rows[0]) + " | overrides |"]
    lines += ["|" + "---|" * (len(rows[0]) + 1)]
    for row in rows:
        cells = ["-" if cell is None else str(cell) for cell in row.values()]
        lines.append("| " + " | ".join([*cells, f"`{' '.join(runs[row['experiment']])}`"]) + " |")
    lines.append("")
    first = best(rows)
    if first is None:
        return [*lines, "No experiment has validation clips.", ""]
    return [
        *lines,
        f"Best on the validation clips: `{first['experiment']}`, {VALIDATION_METRIC} {first['validation']:.4f}. Take it over with",
        f"`dvc exp apply '{first['experiment']}'`, then `git commit`.",
        "",
    ]


def made_with() -> list[str]:
    """A line about commit, Python, packages and machine of this comparison."""
    about = environment()
    packages = ", ".join(f"{package} {about[package]}" for package in PACKAGES)
    commit = git("rev-parse", "--short", "HEAD").strip()
    return [f"Commit {commit}; Python {about['python']}, {packages}; {about['system']}, {about['processor']}, {about['cores']} cores."]


def table(runs: list[dict], title: str, command: str) -> str:
    """Markdown: a line for every round and system, mean and standard deviation over the runs; the margin against r0's detector below.

    Of clips with truth, and of labelled pictures and real clips where all runs have them.
    """
    lines = [f"## {title}", "", f"`{command}`: {len(runs)} runs, mean ± standard deviation.", ""]
    of_stills = {column: COLUMNS[column] for column in (ERROR, "missing")}
    shown = dict.fromkeys(DATASETS, COLUMNS) | dict.fromkeys(STILLS.values(), of_stills) | {"real_clips": REAL_COLUMNS}
    for dataset, columns in shown.items():
        if not all(dataset in run["r0"]["detector"] for run in runs):
            continue
        lines += [f"**{dataset}**", "", "| round | system | " + " | ".join(heading for heading, _ in columns.values()) + " |"]
        lines += ["|" + "---|" * (len(columns) + 2)]
        for round_name in runs[0]:
            for system in ("detector", "tracker"):
                cells = []
                for column, (_, factor) in columns.items():
                    values = [run[round_name][system][dataset][column] for run in runs]
                    known = [value * factor for value in values if value is not None]
                    cells.append(with_spread(known))
                lines.append(f"| {round_name} | {system} | " + " | ".join(cells) + " |")
        lines += [""]
        last = list(runs[0])[-1]
        for column in (column for column in MARGINS if column in columns):
            pairs = [(run["r0"]["detector"][dataset][column], run[last]["tracker"][dataset][column]) for run in runs]
            pairs = [pair for pair in pairs if None not in pair]
            if not pairs:
                lines.append(f"- {column}: no run has both.")
                continue
            before, after = zip(*pairs, strict=True)
            differences = [(b - a) * columns[column][1] for a, b in zip(before, after, strict=True)]
            better = sum(difference < 0 for difference in differences)
            lines.append(
                f"- {column}: {last} tracker {mean(after) / mean(before) - 1:+.1%} against r0 detector; difference within a run "
                f"{with_spread(differences)}, better in {better} of {len(pairs)} runs."
            )
        lines += [""]
    return "\n".join(lines)


def methods(runs: Runs, found: dict[str, dict]) -> list[str]:
    """Lines of Markdown on what stands beside the rounds in the experiments' metrics: a table for each method and dataset.

    Scores of a method are {arm: {system: {dataset: …}}} or, without arms, {system: {dataset: …}}; a system is an arm then.
    A row is an arm of the method under one setting, the overrides without the seed, over its seeds. The last column is the difference in
    error to the arm named in its heading, the method's control, within a run. found: experiment -> its metrics.
    """
    settings: dict[str, list[dict]] = {}
    for experiment, scores in found.items():
        setting = " ".join(override for override in runs[experiment] if not override.startswith(("train_seed=", "seed=")))
        settings.setdefault(setting, []).append(scores)
    lines = []
    for method in dict.fromkeys(name for scores in found.values() for name in scores if name not in ("rounds", "exported")):
        with_it = {setting: [_by_arm(one[method]) for one in scores if method in one] for setting, scores in settings.items()}
        first = next(one for ones in with_it.values() for one in ones)
        control = CONTROL if CONTROL in first else next(iter(first))
        headings = ["setting", "arm", "runs", *(heading for heading, _ in COLUMNS.values()), f"error beside {control}", "better in"]
        for dataset in DATASETS:
            lines += [f"**{method}, {dataset}**", "", "| " + " | ".join(headings) + " |", "|" + "---|" * len(headings)]
            for setting, ones in with_it.items():
                named = {(arm, system): None for one in ones for arm, systems in one.items() for system in systems}
                for arm, system in named:
                    lines.append(_method_row(setting, arm, system, control, [one for one in ones if arm in one], dataset))
            lines.append("")
    return lines


def _by_arm(scores: dict) -> dict:
    return {arm: {"detector": of} if set(of) & set(DATASETS) else of for arm, of in scores.items()}


def _method_row(setting: str, arm: str, system: str, control: str, ones: list[dict], dataset: str) -> str:
    cells = [f"`{setting}`", arm if system == "detector" else f"{arm} {system}", str(len(ones))]
    for column, (_, factor) in COLUMNS.items():
        known = [value * factor for one in ones if (value := _value(one, arm, system, dataset, column)) is not None]
        cells.append(with_spread(known))
    pairs = [(_value(one, control, system, dataset, ERROR), _value(one, arm, system, dataset, ERROR)) for one in ones]
    differences = [(after - before) * COLUMNS[ERROR][1] for before, after in pairs if None not in (before, after)]
    if arm == control or not differences:
        return "| " + " | ".join([*cells, "", ""]) + " |"
    better = sum(difference < 0 for difference in differences)
    return "| " + " | ".join([*cells, with_spread(differences), f"{better} of {len(differences)}"]) + " |"


def _value(scores: dict, *keys: str) -> float | None:
    """The value that the keys lead to, None where there is none."""
    found = scores
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="a file of experiments/")
    parser.add_argument("--write", type=Path, help="Markdown file to write the table to, besides printing it")
    parser.add_argument("--seeds", type=int, nargs="*", help="of a paper's table: those to run (none: only show what has run)")
    arguments = parser.parse_args()
    try:
        plan = read_table(arguments.file)
        if plan is None:  # before a server starts
            read_plan(arguments.file)
        if plan and arguments.seeds == []:  # runs nothing, so that it may look on while another flow is at work
            text = paper_table(plan, [], str(arguments.file))
        else:
            text = compare(str(arguments.file), seeds=arguments.seeds)
    except (OSError, RuntimeError, ValueError, KeyError, yaml.YAMLError) as error:
        sys.exit(f"error: {type(error).__name__}: {error}")
    sys.stdout.write(text + "\n")
    if arguments.write:
        arguments.write.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
