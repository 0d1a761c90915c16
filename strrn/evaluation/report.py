"""The report: one HTML file that needs no network, made of the rounds' scores, curves and pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import jinja2
from markupsafe import Markup

from strrn.core.files import write_text
from strrn.core.summary import (
    ERROR,
    FIRST_SYSTEM,
    LAST_SYSTEM,
    STILLS,
    TITLES,
    WITH_TRUTH,
    WITHOUT_TRUTH,
    Figure,
    cell,
    flatten,
    number,
)

TEMPLATE = Path(__file__).parent / "report.html"


@dataclass(frozen=True)
class ReportParameters:
    """overlay_clip: id of the real clip in the overlay, at overlay_height pixels and H.264 quality overlay_quality (lower = better).
    error_clip: id of the test clip whose error over time is drawn. num_frames: of best and of worst frames. num_stills: in the contact
    sheet. picture_size: side of a shown face in pixels."""

    overlay_clip: str
    overlay_height: int
    overlay_quality: int
    error_clip: str
    num_frames: int
    num_stills: int
    picture_size: int

    def __post_init__(self) -> None:
        for name in ("overlay_height", "num_frames", "num_stills", "picture_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: found {getattr(self, name)}, expected at least 1")
        if not 0 <= self.overlay_quality <= 51:
            raise ValueError(f"overlay_quality: found {self.overlay_quality}, expected an H.264 rate factor in [0, 51]")


def summary_groups(shown: Mapping[str, Sequence[Figure]]) -> list[tuple[str, list[str]]]:
    """(title, headings) of the columns of every data set that is shown."""
    known = {WITH_TRUTH: ", exact truth", WITHOUT_TRUTH: ", no truth"}
    return [(TITLES[name] + known.get(figures, ""), [figure.heading for figure in figures]) for name, figures in shown.items()]


def summary_rows(rounds: Mapping[str, Mapping], shown: Mapping[str, Sequence[Figure]], base: Mapping | None = None) -> list[dict]:
    """One row per round and system: its name and, of every data set that is shown, a list of a `Cell` per figure.

    base: the scores that changes are against (None: those of the first round's detector). A dash stands where a data set or metric is not
    there, as with a scheme of one's own.
    """
    base = rounds[next(iter(rounds))][FIRST_SYSTEM] if base is None else base
    rows = []
    for round_name, systems in rounds.items():
        for system, datasets in systems.items():
            cells = [
                [cell(figure, datasets.get(name, {}), None if datasets is base else base.get(name, {})) for figure in figures]
                for name, figures in shown.items()
            ]
            rows.append({"round": round_name, "system": system, "cells": cells})
    return rows


def detail_rows(rounds: Mapping[str, Mapping], dataset: str) -> tuple[list[str], list[dict]]:
    """All metrics of a dataset: names of the columns (round and system) and rows of name and texts, nested names with dots."""
    columns, flat = [], []
    for round_name, systems in rounds.items():
        for system, datasets in systems.items():
            columns.append(f"{round_name} {system}")
            flat.append(flatten(datasets.get(dataset, {})))
    names = list(dict.fromkeys(name for values in flat for name in values))
    return columns, [{"name": name, "values": [_plain(values.get(name)) for values in flat]} for name in names]


def acceptance_table(summaries: Mapping[str, Mapping]) -> list[dict]:
    """Per round: frames seen and kept, whom they teach, reasons of the dropped, kept ones that were followed, medians of both losses."""
    return [
        {
            "round": name,
            "seen": summary["frames_seen"],
            "kept": summary["kept"],
            "share": number(summary["kept"] / summary["frames_seen"] if summary["frames_seen"] else None, ".0%"),
            "detector": summary["teaches"]["detector"],
            "tracker": summary["teaches"]["tracker"],
            "dropped": ", ".join(f"{reason}: {count}" for reason, count in summary["dropped"].items()) or "none",
            "followed": summary["followed"],
            "threshold": number(summary.get("threshold"), ".4f"),
            "l_det": number(_middle(summary["quantiles"]["l_det"]), ".2%"),
            "l_tck": number(_middle(summary["quantiles"]["l_tck"]), ".2%"),
        }
        for name, summary in summaries.items()
    ]


def alike(made_with: Mapping[str, Mapping[str, object]]) -> list[tuple[str, str]]:
    """(models, what they were made with), a row for all models that were made with the same."""
    groups: dict[str, list[str]] = {}
    for model, about in made_with.items():
        groups.setdefault(", ".join(f"{name} {value}" for name, value in about.items()), []).append(model)
    return [(", ".join(models), text) for text, models in groups.items()]


def promotion(promoted: str, validation: Mapping[str, float]) -> str:
    """Which round is exported, and why: the trackers' areas under the curve on validation clips, none where they did not decide."""
    if not validation:
        return f"Exported: {promoted}."
    areas = ", ".join(f"{name} {value:.3f}" for name, value in validation.items())
    return f"Exported: {promoted}, whose tracker does best on the validation clips (area under the curve up to 8 %: {areas})."


def headline(rounds: Mapping[str, Mapping], promoted: str) -> list[dict]:
    """The numbers at the top, of the data sets that there are: the exported tracker beside the first detector, less is better in all."""
    first, last = rounds[next(iter(rounds))][FIRST_SYSTEM], rounds[promoted][LAST_SYSTEM]
    jitter, real_jitter = WITH_TRUTH[1], WITHOUT_TRUTH[0]
    chosen = (
        ("error on rendered clips", "rendered_test", ERROR),
        ("jitter on rendered clips", "rendered_test", jitter),
        ("error on the head scan", "head_scan", ERROR),
        ("jitter on real clips", "real_clips", real_jitter),
        ("error on own pictures", STILLS["own"], ERROR),
        ("error on 300-W", STILLS["300w"], ERROR),
    )
    tiles = []
    for label, dataset, figure in chosen:
        if dataset not in last:
            continue
        before, after = (system.get(dataset, {}) for system in (first, last))
        tiles.append({"label": label, "before": cell(figure, before).text, "after": cell(figure, after, before)})
    return tiles


def write_report(path: Path, content: Mapping) -> None:
    """Fill the template. content: see the names in report.html. Raises jinja2.UndefinedError where one is missing."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    write_text(path, environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(**content))


def inline(svg: str) -> Markup:
    """An SVG of our own making, to be put into the page as it is."""
    return Markup(svg)


def markdown_lines(text: str) -> Markup:
    """Enough Markdown for a data card: headings, lists, tables, paragraphs; everything is escaped first."""
    html, in_list, in_table = [], False, False
    for line in text.splitlines():
        stripped = escape(line.strip())
        item, row = stripped.startswith("- "), stripped.startswith("|")
        if in_list and not item:
            html.append("</ul>")
        if in_table and not row:
            html.append("</table></div>")
        if item:
            html.append(("" if in_list else "<ul>") + f"<li>{stripped[2:]}</li>")
        elif row:
            cells = [cell.strip() for cell in stripped.strip("|").split("|")]
            if not in_table:
                html.append('<div class="scroll"><table>')
            if not all(set(cell) <= set("-: ") for cell in cells):
                tag = "td" if in_table else "th"
                html.append("<tr>" + "".join(f"<{tag}>{cell}</{tag}>" for cell in cells) + "</tr>")
        elif stripped.startswith("#"):
            html.append(f"<h4>{stripped.lstrip('# ')}</h4>")
        elif stripped:
            html.append(f"<p>{stripped}</p>")
        in_list, in_table = item, row
    html.append("</ul>" if in_list else "</table></div>" if in_table else "")
    return Markup("\n".join(html))


def _plain(value: float | int | None) -> str:
    return number(value, ".4g" if isinstance(value, float) else "")


def _middle(quantiles: Mapping[str, float] | Sequence) -> float | None:
    return quantiles.get("0.50", quantiles.get("0.5")) if isinstance(quantiles, Mapping) else None
