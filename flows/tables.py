"""A paper's tables as plans of experiments: whose error is the figure of a row, and the paper's numbers beside it.

A file of experiments/ with `rows` is such a plan:

    name: paper                                   # experiments are called paper-mdm-seed0; tables of one name share them
    title: what the table shows
    paper_columns: [category 1, category 2]       # headings of the paper's numbers
    columns: [rendered_test rmse_inter_pupil]     # ours: a dataset and a metric, a fraction
    seeds: [0, 1, 2]                              # of everything that learns
    runs: {mdm: [backbone=mdm]}                   # overrides, as of `dvc exp run -S`
    rows:
      - {method: MDM, paper: [9.88, 8.14], run: mdm, figure: r0 detector}
      - {method: TSTN, paper: [5.36, 4.51]}       # not built here

`common` overrides, if there are any, stand before those of every run. A figure is a round and a system (`r2 tracker`), a method and one of
its systems or arms (`brf brf`), or a baseline and its system (`sbr detector`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import yaml

from flows.experiments import NOTHING, Runs, with_common, with_spread


@dataclass(frozen=True)
class Row:
    """paper: a number for each of the table's `paper_columns`, or none at all. run, figure: both or neither."""

    method: str
    paper: tuple[float, ...] = ()
    run: str | None = None
    figure: str | None = None


@dataclass(frozen=True)
class Table:
    """Raises ValueError for rows and columns that do not fit together."""

    name: str
    title: str
    paper_columns: list[str]
    columns: list[str]
    seeds: list[int]
    runs: Runs
    rows: list[Row]

    def __post_init__(self) -> None:
        for column in self.columns:
            if len(column.split()) != 2:
                raise ValueError(f"column {column!r}, expected a dataset and a metric, such as `rendered_test rmse_inter_pupil`")
        for row in self.rows:
            if len(row.paper) not in (0, len(self.paper_columns)):
                raise ValueError(f"row {row.method!r} has {len(row.paper)} of the paper's numbers, expected {len(self.paper_columns)}")
            if (row.run is None) != (row.figure is None) or (row.run is not None and row.run not in self.runs):
                raise ValueError(
                    f"row {row.method!r} has run {row.run} and figure {row.figure}, expected one of {list(self.runs)} and a figure"
                )
            if row.figure is not None and len(row.figure.split()) != 2:
                raise ValueError(f"row {row.method!r} has figure {row.figure!r}, expected two words, such as `r2 tracker` or `sbr detector`")

    def experiment(self, run: str, seed: int) -> str:
        return f"{self.name}-{run}-seed{seed}"

    def experiments(self, seeds: Sequence[int]) -> Runs:
        """All runs with the first of the seeds, then with the next. Raises ValueError for a seed that the plan does not have."""
        if unknown := set(seeds) - set(self.seeds):
            raise ValueError(f"seeds {sorted(unknown)} are not among those of the table, {self.seeds}")
        return {self.experiment(run, seed): [*overrides, f"train_seed={seed}"] for seed in seeds for run, overrides in self.runs.items()}


def read_table(file: Path) -> Table | None:
    """The table that a file of experiments/ asks for, None for a file without `rows` (see `experiments.read_plan`).

    Raises FileNotFoundError, yaml.YAMLError, and ValueError for a table that lacks something or has anything else.
    """
    plan = yaml.safe_load(file.read_text(encoding="utf-8"))
    if not isinstance(plan, dict) or "rows" not in plan:
        return None
    expected, known = {field.name for field in fields(Table)}, {field.name for field in fields(Row)}
    if set(plan) - {"common"} != expected:
        raise ValueError(f"{file} has {', '.join(map(str, plan))}; expected {', '.join(sorted(expected))}: docs/experiments.md")
    for row in plan["rows"]:
        if not {"method"} <= set(row) <= known:
            raise ValueError(f"{file}, row {row}: expected `method` and some of {', '.join(sorted(known - {'method'}))}")
    try:
        runs = with_common(plan, file)
        plan.pop("common", None)
        return Table(**{**plan, "runs": runs, "rows": [Row(**{**row, "paper": tuple(row.get("paper", ()))}) for row in plan["rows"]]})
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


def beside_the_paper(table: Table, found: Mapping[tuple[str, str], dict], failed: Sequence[str], command: str) -> list[str]:
    """Lines of Markdown: a line for every row, mean and standard deviation over the seeds that there are, in %.

    found: (experiment, figure) -> its scores {dataset: {metric: value}}, of the experiments that have been run; failed: those that ended
    with an error.
    """
    lines = [f"## {table.title}", "", f"`{command}`: mean ± standard deviation over seeds, in %.", ""]
    headings = ["method", *(f"paper: {column}" for column in table.paper_columns), *table.columns, "run", "seeds"]
    lines += ["| " + " | ".join(headings) + " |", "|" + "---|" * len(headings)]
    for row in table.rows:
        paper = [f"{value:.2f}" for value in row.paper] or [NOTHING] * len(table.paper_columns)
        lines.append("| " + " | ".join([row.method, *paper, *_ours(table, row, found, failed)]) + " |")
    return [*lines, "", *(f"- `{run}`: `{' '.join(overrides) or 'params.yaml as it is'}`" for run, overrides in table.runs.items()), ""]


def _ours(table: Table, row: Row, found: Mapping[tuple[str, str], dict], failed: Sequence[str]) -> list[str]:
    if row.run is None or row.figure is None:
        return [NOTHING] * (len(table.columns) + 2)
    experiments = {table.experiment(row.run, seed): seed for seed in table.seeds}
    scores = [found[experiment, row.figure] for experiment in experiments if (experiment, row.figure) in found]
    cells = []
    for column in table.columns:
        dataset, metric = column.split()
        values = [one.get(dataset, {}).get(metric) for one in scores]
        cells.append(with_spread([100 * value for value in values if value is not None]))
    seeds = f"{len(scores)} of {len(experiments)}"
    if without := [str(seed) for experiment, seed in experiments.items() if experiment in failed]:
        seeds += f", failed: {', '.join(without)}"
    return [*cells, f"`{row.run}` {row.figure}", seeds]
