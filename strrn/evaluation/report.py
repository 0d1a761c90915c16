"""The report: one HTML file that needs no network, made of the rounds' scores, curves and pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import jinja2
from markupsafe import Markup

from strrn.core.files import write_text

TEMPLATE = Path(__file__).parent / "report.html"
FIRST_SYSTEM = "detector"
MINUS, DASH = "\u2212", "\u2013"


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


@dataclass(frozen=True)
class Cell:
    """A value as shown, its change against r0's detector in per cent (None: none to show), and whether less is better."""

    text: str
    change: float | None

    @property
    def change_text(self) -> str:
        return "" if self.change is None else f"{self.change:+.0f} %".replace("-", MINUS)

    @property
    def tone(self) -> str:
        if self.change is None or abs(self.change) < 0.5:
            return "same"
        return "better" if self.change < 0 else "worse"


# Columns of the first table: heading, dataset, metric, how it is written, whether r0's detector is the measure.
SUMMARY_COLUMNS = (
    ("error", "rendered_test", "nme_inter_ocular", ".2%", True),
    ("jitter", "rendered_test", "residual_jitter", ".2%", True),
    ("lag", "rendered_test", "lag_e1", ".2f", False),
    ("missing", "rendered_test", "missing", ".1%", False),
    ("error", "head_scan", "nme_inter_ocular", ".2%", True),
    ("jitter", "head_scan", "residual_jitter", ".2%", True),
    ("lag", "head_scan", "lag_e1", ".2f", False),
    ("missing", "head_scan", "missing", ".1%", False),
    ("jitter", "real_clips", "rt_jitter", ".2%", True),
    ("cycle error", "real_clips", "cycle_error", ".2%", True),
    ("lost", "real_clips", "lost", ".1%", False),
    ("false tracks", "real_clips", "false_tracks", ".1%", False),
)


def summary_rows(rounds: Mapping[str, Mapping], base: Mapping | None = None) -> list[dict]:
    """One row per round and system: its name and a `Cell` per column of `SUMMARY_COLUMNS`, relative to `base` (None: to the first round's
    detector); a dash where a dataset or metric is not there, as with a scheme of one's own."""
    base = rounds[next(iter(rounds))][FIRST_SYSTEM] if base is None else base
    rows = []
    for round_name, systems in rounds.items():
        for system, datasets in systems.items():
            cells = []
            for _, dataset, metric, form, relative in SUMMARY_COLUMNS:
                value, reference = datasets.get(dataset, {}).get(metric), base.get(dataset, {}).get(metric)
                comparable = relative and value is not None and reference and datasets is not base
                cells.append(Cell(_text(value, form), 100 * (value / reference - 1) if comparable else None))
            rows.append({"round": round_name, "system": system, "cells": cells})
    return rows


def detail_rows(rounds: Mapping[str, Mapping], dataset: str) -> tuple[list[str], list[dict]]:
    """All metrics of a dataset: names of the columns (round and system) and rows of name and texts, nested names with dots."""
    columns, flat = [], []
    for round_name, systems in rounds.items():
        for system, datasets in systems.items():
            columns.append(f"{round_name} {system}")
            flat.append(_flat(datasets[dataset]))
    names = list(dict.fromkeys(name for values in flat for name in values))
    return columns, [{"name": name, "values": [_text(values.get(name), "") for values in flat]} for name in names]


def acceptance_table(summaries: Mapping[str, Mapping]) -> list[dict]:
    """Per round: frames seen and kept, whom they teach, reasons of the dropped, medians of both losses."""
    return [
        {
            "round": name,
            "seen": summary["frames_seen"],
            "kept": summary["kept"],
            "share": _text(summary["kept"] / summary["frames_seen"] if summary["frames_seen"] else None, ".0%"),
            "detector": summary["teaches"]["detector"],
            "tracker": summary["teaches"]["tracker"],
            "dropped": ", ".join(f"{reason}: {count}" for reason, count in summary["dropped"].items()) or "none",
            "threshold": _text(summary.get("threshold"), ".4f"),
            "l_det": _text(_middle(summary["quantiles"]["l_det"]), ".2%"),
            "l_tck": _text(_middle(summary["quantiles"]["l_tck"]), ".2%"),
        }
        for name, summary in summaries.items()
    ]


def headline(rounds: Mapping[str, Mapping]) -> list[dict]:
    """The four numbers at the top: the last round's tracker beside the first round's detector, less is better in all."""
    names = list(rounds)
    first, last = rounds[names[0]][FIRST_SYSTEM], rounds[names[-1]]["tracker"]
    chosen = (
        ("error on rendered clips", "rendered_test", "nme_inter_ocular", ".2%"),
        ("jitter on rendered clips", "rendered_test", "residual_jitter", ".2%"),
        ("error on the head scan", "head_scan", "nme_inter_ocular", ".2%"),
        ("jitter on real clips", "real_clips", "rt_jitter", ".2%"),
    )
    tiles = []
    for label, dataset, metric, form in chosen:
        before, after = (system.get(dataset, {}).get(metric) for system in (first, last))
        change = 100 * (after / before - 1) if before and after is not None else None
        tiles.append({"label": label, "before": _text(before, form), "after": Cell(_text(after, form), change)})
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


def _text(value: float | int | None, form: str) -> str:
    if value is None:
        return DASH
    if isinstance(value, float):
        text = format(value, form or ".4g").replace("%", " %")
        return text.replace("-", "" if float(text.rstrip(" %")) == 0 else MINUS)
    return str(value)


def _flat(content: Mapping, prefix: str = "") -> dict:
    flat = {}
    for key, value in content.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def _middle(quantiles: Mapping[str, float] | Sequence) -> float | None:
    return quantiles.get("0.50", quantiles.get("0.5")) if isinstance(quantiles, Mapping) else None
