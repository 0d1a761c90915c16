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
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import jinja2
import yaml

from flows import charts, state
from strrn.core.files import write_text
from strrn.core.summary import (
    DASH,
    FIRST_SYSTEM,
    LAST_SYSTEM,
    OF_STILLS,
    STILLS,
    TITLES,
    WITH_TRUTH,
    WITHOUT_TRUTH,
    Cell,
    Figure,
    cell,
    number,
)

TEMPLATE = Path(__file__).parent / "page.html"
REPORT = Path("reports/report.html")
OVERLAYS = {Path("reports/overlay.mp4"): "video/mp4", Path("reports/overlay.webm"): "video/webm"}
SHORT = 7  # characters of a commit


@dataclass(frozen=True)
class Dataset:
    """A data set and the figures that are shown of it."""

    name: str
    figures: tuple[Figure, ...]

    @property
    def title(self) -> str:
        return TITLES.get(self.name, self.name.replace("_", " "))


def datasets(runs: Iterable[Mapping]) -> list[Dataset]:
    """All data sets that the rounds of the runs have."""
    found = {}
    for run in runs:
        for systems in run.values():
            for scores in systems.values():
                for name, metrics in scores.items():
                    with_truth = OF_STILLS if name in STILLS.values() else WITH_TRUTH
                    found.setdefault(name, with_truth if "nme_inter_ocular" in metrics else WITHOUT_TRUTH)
    return [Dataset(name, figures) for name, figures in found.items()]


def cells(scores: Mapping, shown: Iterable[Dataset], base: Mapping | None = None) -> list[Cell]:
    """A cell for every figure of the data sets, with the change against the scores `base`, where they are given."""
    return [cell(figure, scores.get(dataset.name, {}), (base or {}).get(dataset.name)) for dataset in shown for figure in dataset.figures]


def of(rounds: Mapping, exported: str | None, system: str = LAST_SYSTEM) -> Mapping:
    """Scores of the exported round's system; empty where there is none."""
    return rounds.get(exported, {}).get(system, {})


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


def drawn(rounds: Mapping, shown: list[Dataset]) -> list[charts.Chart]:
    """The figures of every data set of which a change in per cent says something, both systems side by side in every round."""
    found = []
    for dataset in shown:
        for figure in (figure for figure in dataset.figures if figure.relative):
            scores = {name: {system: of.get(dataset.name, {}).get(figure.metric) for system, of in rounds[name].items()} for name in rounds}
            found.append(charts.chart(f"{dataset.title}: {figure.heading}", scores, figure.form))
    return found


def tiles(rounds: Mapping, exported: str | None, shown: list[Dataset], benchmark: Mapping) -> list[dict]:
    """Error and jitter of the exported tracker beside the first round's detector, of every data set that has them; and the speed."""
    chosen = []
    for dataset in shown:
        single = replace(dataset, figures=tuple(figure for figure in dataset.figures if figure.heading in ("error", "jitter")))
        pairs = zip(single.figures, cells(first(rounds), [single]), cells(of(rounds, exported), [single], first(rounds)), strict=True)
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
            "cells": cells(of(experiment.rounds, experiment.exported), shown, first(experiment.rounds)),
        }
        for experiment in experiments
    ]


def release_rows(releases: Iterable[state.Release], shown: list[Dataset]) -> list[dict]:
    """Figures of the system that was released; of pseudo-labels, those of the tracker that learned from them."""
    rows = []
    for release in releases:
        system = release.artifact if release.artifact in (FIRST_SYSTEM, LAST_SYSTEM) else LAST_SYSTEM
        measured = f"{release.exported} {system}" if release.rounds else DASH
        row = {
            "artifact": release.artifact,
            "version": release.version,
            "taken_back": release.taken_back,
            "date": release.date,
            "commit": release.commit[:SHORT],
        }
        rows.append({**row, "measured": measured, "cells": cells(of(release.rounds, release.exported, system), shown)})
    return rows


def content(out: Path) -> dict:
    """What the template needs, read from the checkout in the working directory. Links are relative to the folder of `out`."""
    (rounds, exported), experiments, releases, artifacts = state.rounds(), state.experiments(), state.releases(), state.artifacts()
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
        "exported": exported,
        "tiles": tiles(rounds, exported, here, state.benchmark()),
        "report": link(REPORT, out) if REPORT.is_file() else None,
        "overlays": [(link(path, out), kind) for path, kind in OVERLAYS.items() if path.is_file()],
        "datasets": here,
        "rounds": round_rows(rounds, state.mined(rounds), here),
        "charts": drawn(rounds, here),
        "chart_size": (charts.WIDTH, charts.BOTTOM),
        "tried": tried,
        "this_commit": cells(of(rounds, exported), tried, first(rounds)),
        "experiments": experiment_rows(experiments, tried),
        "released": released,
        "releases": release_rows(releases, released),
        "unreleased": [name for name in artifacts if name not in {release.artifact for release in releases}],
    }


def write(out: Path, values: Mapping) -> None:
    """Fill the template and write the page whole or not at all. Raises jinja2.UndefinedError where a name of page.html is missing."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    text = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(**values)
    write_text(out, text)


def link(path: Path, out: Path) -> str:
    return quote(Path(os.path.relpath(path, out.parent)).as_posix())


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
