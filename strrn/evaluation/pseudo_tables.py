"""Counts of a round and changes between two rounds as tables for a terminal, a row per clip."""

import textwrap

from rich import box
from rich.table import Table
from rich.text import Text

SHOWN_QUANTILES = ("0.50", "0.95")
HEADING_WIDTH = 9  # characters of a line


def counts_table(clips: dict[str, dict], total: dict) -> Table:
    """clips: track id -> `counts`; total: of all of them. A column for every reason there is, and for followed frames if there are some."""
    reasons = list(total["dropped"])
    also = ["followed"] if total["followed"] else []
    headings = ["seen", "kept", *also, "share", *(f"teaches {role}" for role in total["teaches"])]
    headings += [f"dropped: {reason}" for reason in reasons]
    headings += [f"{symbol} {float(q):.0%}" for symbol in ("L_det", "L_tck") for q in SHOWN_QUANTILES]

    def cells(values: dict) -> list[str]:
        share = f"{values['kept'] / values['frames_seen']:.0%}"
        numbers = [values["frames_seen"], values["kept"], *(values[name] for name in also), share, *values["teaches"].values()]
        numbers += [values["dropped"].get(reason, 0) for reason in reasons]
        return [*map(str, numbers), *(f"{losses[q]:.4f}" for losses in values["quantiles"].values() for q in SHOWN_QUANTILES)]

    return _table(headings, {name: cells(values) for name, values in clips.items()}, cells(total))


def changes_table(clips: dict[str, dict], total: dict, normaliser: str) -> Table:
    """clips: track id -> its part of `difference`; total: of all frames. normaliser: that of the scheme's methods."""
    moved = f"moved, % of {normaliser}"
    headings = ["kept in both", "only in first", "only in second", "kept share", f"mean {moved}", f"95% {moved}", "L_det 50%", "L_tck 50%"]

    def pair(values: dict[str, float | None], form: str) -> str:
        return " → ".join("-" if values[which] is None else format(values[which], form) for which in ("first", "second"))

    def cells(values: dict) -> list[str]:
        ways = [values[f"moved_{normaliser}_{which}"] for which in ("mean", "p95")]
        medians = [{which: losses[name].get("0.50") for which, losses in values["quantiles"].items()} for name in ("l_det", "l_tck")]
        return [
            *(str(values[name]) for name in ("kept_in_both", "only_in_first", "only_in_second")),
            pair(values["kept_share"], ".0%"),
            *("-" if way is None else f"{100 * way:.2f}" for way in ways),
            *(pair(median, ".4f") for median in medians),
        ]

    return _table(headings, {name: cells(values) for name, values in clips.items()}, cells(total))


def _table(headings: list[str], rows: dict[str, list[str]], total: list[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=0, pad_edge=False)
    table.add_column("clip", no_wrap=True)
    for heading in headings:
        table.add_column(textwrap.fill(heading, HEADING_WIDTH, break_long_words=False), justify="right", no_wrap=True)
    for name, cells in rows.items():
        table.add_row(Text(name), *cells)
    table.add_section()
    table.add_row("all", *total)
    return table
