"""Writes one HTML page with the state of the project: the last figures, all rounds, all experiments, all releases, and the overlay video.

    python -m flows.page                    # reports/index.html
    python -m flows.page -o shown/index.html

The page needs no network and no server; only the overlay and the report, to which it points, stay files of their own.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import quote

import jinja2
import yaml

from flows import state

TEMPLATE = Path(__file__).parent / "page.html"
REPORT = Path("reports/report.html")
OVERLAYS = {Path("reports/overlay.mp4"): "video/mp4", Path("reports/overlay.webm"): "video/webm"}
FIRST_SYSTEM, LAST_SYSTEM = "detector", "tracker"
MINUS, DASH = "\u2212", "\u2013"
SHORT = 7  # characters of a commit
DATASETS = {"rendered_test": "rendered clips", "head_scan": "head scan", "real_clips": "real clips"}
# Bars of a round, in the units of the drawing.
WIDTH, TOP, BOTTOM, WIDEST = 240, 18, 84, 26


@dataclass(frozen=True)
class Cell:
    """A value as it is shown and as it is sorted by; its change against r0's detector in per cent; whether it is the best of its column."""

    text: str
    value: float | str | None
    change: float | None = None
    best: bool = False

    @property
    def change_text(self) -> str:
        return "" if self.change is None else f"{self.change:+.0f} %".replace("-", MINUS)

    @property
    def tone(self) -> str:
        if self.change is None or abs(self.change) < 0.5:
            return "same"
        return "better" if self.change < 0 else "worse"


@dataclass(frozen=True)
class Figure:
    """A metric, its heading and how it is written; nearer to 0 is better. relative: whether its change in per cent says something."""

    heading: str
    metric: str
    form: str
    relative: bool


WITH_TRUTH = (
    Figure("error", "nme_inter_ocular", ".2%", True),
    Figure("jitter", "residual_jitter", ".2%", True),
    Figure("lag", "lag_e1", ".2f", False),
    Figure("missing", "missing", ".1%", False),
)
WITHOUT_TRUTH = (
    Figure("jitter", "rt_jitter", ".2%", True),
    Figure("cycle error", "cycle_error", ".2%", True),
    Figure("lost", "lost", ".1%", False),
    Figure("false tracks", "false_tracks", ".1%", False),
)


@dataclass(frozen=True)
class Dataset:
    """A data set and the figures that are shown of it."""

    name: str
    figures: tuple[Figure, ...]

    @property
    def title(self) -> str:
        return DATASETS.get(self.name, self.name.replace("_", " "))


@dataclass(frozen=True)
class Chart:
    """A figure over the rounds: bars (system, title, x, y, height), labels (text, x, y) on them, and the rounds' names (text, x) below."""

    title: str
    width: float
    bars: list[tuple[str, str, float, float, float]] = field(default_factory=list)
    labels: list[tuple[str, float, float]] = field(default_factory=list)
    names: list[tuple[str, float]] = field(default_factory=list)


def datasets(runs: Iterable[Mapping]) -> list[Dataset]:
    """All data sets that the rounds of the runs have."""
    found = {}
    for run in runs:
        for systems in run.values():
            for scores in systems.values():
                for name, metrics in scores.items():
                    found.setdefault(name, WITH_TRUTH if "nme_inter_ocular" in metrics else WITHOUT_TRUTH)
    return [Dataset(name, figures) for name, figures in found.items()]


def cells(scores: Mapping, shown: Iterable[Dataset], base: Mapping | None = None) -> list[Cell]:
    """A cell for every figure of the data sets, with the change against the scores `base`, where they are given."""
    row = []
    for dataset in shown:
        for figure in dataset.figures:
            value, before = (part.get(dataset.name, {}).get(figure.metric) for part in (scores, base or {}))
            change = 100 * (value / before - 1) if figure.relative and value is not None and before else None
            row.append(Cell(number(value, figure.form), value, change))
    return row


def last(rounds: Mapping, system: str = LAST_SYSTEM) -> Mapping:
    """Scores of the last round's system; empty where there is none."""
    return rounds[list(rounds)[-1]].get(system, {}) if rounds else {}


def first(rounds: Mapping) -> Mapping:
    """Scores of the first round's detector; empty where there are none."""
    return rounds[next(iter(rounds))].get(FIRST_SYSTEM, {}) if rounds else {}


def round_rows(rounds: Mapping, summaries: Mapping, shown: list[Dataset]) -> list[dict]:
    """A row per round and system. Marked are the best figures of a column, as they are written, where it has different ones."""
    rows = []
    for name, systems in rounds.items():
        summary = summaries.get(name, {})
        seen, kept = summary.get("frames_seen"), summary.get("kept")
        share = kept / seen if seen else None
        for system, scores in systems.items():
            mined = [Cell(number(seen, ",d"), seen), Cell(number(share, ".0%"), share)]
            rows.append({"round": name, "system": system, "share": share, "mined": mined, "cells": cells(scores, shown)})
    for column in range(len(rows[0]["cells"]) if rows else 0):
        known = [row["cells"][column] for row in rows if row["cells"][column].value is not None]
        best = min(known, key=lambda cell: abs(cell.value)).text if len({cell.text for cell in known}) > 1 else None
        for row in rows:
            if row["cells"][column].text == best:
                row["cells"][column] = replace(row["cells"][column], best=True)
    return rows


def charts(rounds: Mapping, shown: list[Dataset]) -> list[Chart]:
    """Bars from zero of the first two figures of every data set, both systems side by side in every round."""
    drawn = []
    for dataset in shown:
        for figure in dataset.figures[:2]:
            scores = {name: {system: of.get(dataset.name, {}).get(figure.metric) for system, of in rounds[name].items()} for name in rounds}
            drawn.append(_chart(f"{dataset.title}: {figure.heading}", scores, figure.form))
    return drawn


def _chart(title: str, scores: Mapping[str, Mapping[str, float | None]], form: str) -> Chart:
    highest = max((value for systems in scores.values() for value in systems.values() if value is not None), default=0) or 1
    group = WIDTH / len(scores)
    width = min(WIDEST, 0.38 * group)
    chart = Chart(title, width)
    ends = {0, len(scores) - 1}
    for i, (name, systems) in enumerate(scores.items()):
        middle = (i + 0.5) * group
        if len(scores) <= 6 or i in ends:
            chart.names.append((name, middle))
        for k, (system, value) in enumerate(systems.items()):
            if value is None:
                continue
            height = (BOTTOM - TOP) * value / highest
            x, y = middle + (k - len(systems) / 2) * (width + 2) + 1, BOTTOM - height
            chart.bars.append((system, f"{name} {system}: {number(value, form)}", round(x, 1), round(y, 1), round(height, 1)))
            if len(scores) <= 4 or (i in ends and system == LAST_SYSTEM):
                chart.labels.append((f"{100 * value:.2f}", round(x + width / 2, 1), round(y - 4, 1)))
    return chart


def tiles(rounds: Mapping, shown: list[Dataset], benchmark: Mapping) -> list[dict]:
    """Error and jitter of the last round's tracker beside the first round's detector, of every data set that has them; and the speed."""
    chosen = []
    for dataset in shown:
        single = replace(dataset, figures=tuple(figure for figure in dataset.figures if figure.heading in ("error", "jitter")))
        pairs = zip(single.figures, cells(first(rounds), [single]), cells(last(rounds), [single], first(rounds)), strict=True)
        for figure, before, after in pairs:
            if after.value is not None:
                below = f"{next(iter(rounds))} {FIRST_SYSTEM}: {before.text}"
                chosen.append({"label": f"{figure.heading}, {dataset.title}", "value": after, "below": below})
    if "loop_frames_per_second" in benchmark:
        speed = benchmark["loop_frames_per_second"]
        below = f"{benchmark.get('round', 'exported')}, whole loop, one thread"
        chosen.append({"label": "speed, frames a second", "value": Cell(f"{speed:.0f}", speed), "below": below})
    return chosen


def experiment_rows(experiments: Iterable[state.Experiment], shown: list[Dataset]) -> list[dict]:
    return [
        {
            "name": experiment.name,
            "commit": experiment.baseline[:SHORT],
            "date": experiment.date,
            "values": None if experiment.values is None else [(key, *map(shorter, pair)) for key, pair in experiment.values.items()],
            "files": experiment.files,
            "cells": cells(last(experiment.rounds), shown, first(experiment.rounds)),
        }
        for experiment in experiments
    ]


def release_rows(releases: Iterable[state.Release], shown: list[Dataset]) -> list[dict]:
    """Figures of the system that was released; of pseudo-labels, those of the tracker that learned from them."""
    rows = []
    for release in releases:
        system = release.artifact if release.artifact in (FIRST_SYSTEM, LAST_SYSTEM) else LAST_SYSTEM
        measured = f"{list(release.rounds)[-1]} {system}" if release.rounds else DASH
        row = {
            "artifact": release.artifact,
            "version": release.version,
            "taken_back": release.taken_back,
            "date": release.date,
            "commit": release.commit[:SHORT],
        }
        rows.append({**row, "measured": measured, "cells": cells(last(release.rounds, system), shown)})
    return rows


def content(out: Path) -> dict:
    """What the template needs, read from the checkout in the working directory. Links are relative to the folder of `out`."""
    rounds, experiments, releases, artifacts = state.rounds(), state.experiments(), state.releases(), state.artifacts()
    changed, silent = [], ""
    try:
        changed = state.changed_stages()
    except RuntimeError as error:
        silent = str(error)
    here = datasets([rounds])
    tried = datasets([rounds, *(experiment.rounds for experiment in experiments)])
    released = [replace(dataset, figures=dataset.figures[:2]) for dataset in datasets(release.rounds for release in releases)]
    return {
        "commit": state.head(),
        "short": SHORT,
        "changed_stages": changed,
        "dvc_silent": silent,
        "first_round": next(iter(rounds), None),
        "last_round": list(rounds)[-1] if rounds else None,
        "tiles": tiles(rounds, here, state.benchmark()),
        "report": link(REPORT, out) if REPORT.is_file() else None,
        "overlays": [(link(path, out), kind) for path, kind in OVERLAYS.items() if path.is_file()],
        "datasets": here,
        "rounds": round_rows(rounds, state.mined(rounds), here),
        "charts": charts(rounds, here),
        "chart_size": (WIDTH, BOTTOM),
        "tried": tried,
        "this_commit": cells(last(rounds), tried, first(rounds)),
        "experiments": experiment_rows(experiments, tried),
        "released": released,
        "releases": release_rows(releases, released),
        "unreleased": [name for name in artifacts if name not in {release.artifact for release in releases}],
    }


def write(out: Path, values: Mapping) -> None:
    """Fill the template and write the page whole or not at all. Raises jinja2.UndefinedError where a name of page.html is missing."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    text = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(**values)
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.part")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(out)


def link(path: Path, out: Path) -> str:
    return quote(Path(os.path.relpath(path, out.parent)).as_posix())


def number(value: float | None, form: str) -> str:
    if value is None:
        return DASH
    text = format(value, form).replace("%", "\u00a0%").replace(",", "\u202f")
    return text.replace("-", MINUS if text.strip("-0.\u00a0%") else "")


def shorter(value: object, limit: int = 60) -> str:
    """A parameter's value in one line."""
    text = DASH if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= limit else f"{text[:limit]}…"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, default=Path("reports/index.html"), help="the page [reports/index.html]")
    out = parser.parse_args().out
    try:
        write(out, content(out))
    except (OSError, RuntimeError, ValueError, yaml.YAMLError) as error:
        sys.exit(f"error: {type(error).__name__}: {error}")
    sys.stdout.write(f"{out}\n")


if __name__ == "__main__":
    main()
