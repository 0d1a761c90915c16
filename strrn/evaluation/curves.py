"""The curves of the report: rows for the files that `dvc plots` draws, and the same rows as inline SVG by Altair."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import altair as alt
import numpy as np
import vl_convert

from strrn.core import metrics
from strrn.core.files import write_text

Rows = list[dict]
CED_LIMIT = 0.08
CED_STEPS = 80
# Readable on a light and on a dark page; r0 is grey, later rounds take the colours in turn.
COLOURS = ("#8b93a1", "#3b8ec2", "#e07b39", "#2f9e77", "#b565c9", "#c9a227")
PERCENT = "%"
SERIES = ("panel", "series", "round", "system")
COLUMNS = {
    "ced": ("threshold", "share", *SERIES),
    "error_over_time": ("frame", "nme", *SERIES),
    "training": ("epoch", "validation_error", *SERIES),
    "acceptance": ("round", "outcome", "frames"),
    "tradeoff": ("panel", "series", "setting", "lag", "jitter", "error"),
}


def series_name(round_name: str, system: str) -> str:
    return f"{round_name} {system}"


def ced_rows(frames: Mapping[str, Mapping[str, np.ndarray]]) -> Rows:
    """CED of every round and system: rows threshold, share, panel (the dataset), series, …. frames: round -> its table of frames."""
    thresholds = np.linspace(0, CED_LIMIT, CED_STEPS + 1)
    rows = []
    for round_name, columns in frames.items():
        for dataset in dict.fromkeys(columns["dataset"]):
            for system in dict.fromkeys(columns["system"]):
                chosen = (columns["dataset"] == dataset) & (columns["system"] == system)
                for threshold, share in zip(thresholds, metrics.ced(columns["nme"][chosen], thresholds), strict=True):
                    rows.append(
                        {
                            "threshold": round(float(threshold), 4),
                            "share": round(float(share), 5),
                            **_series(round_name, system, dataset),
                        }
                    )
    return rows


def error_rows(frames: Mapping[str, Mapping[str, np.ndarray]], clip_id: str, shown: Sequence[tuple[str, str]]) -> Rows:
    """Error over time of a clip: rows frame, nme, panel (the clip), series, …, for the (round, system) pairs shown.

    Frames without points are left out. Raises ValueError for a clip that has no truth.
    """
    rows = []
    for round_name, system in shown:
        columns = frames[round_name]
        chosen = np.flatnonzero((columns["clip_id"] == clip_id) & (columns["system"] == system) & np.isfinite(columns["nme"]))
        if len(chosen) == 0 and clip_id not in columns["clip_id"]:
            clips = sorted(set(columns["clip_id"][columns["frame"] > 0]))  # pictures have one frame
            raise ValueError(f"report.error_clip {clip_id!r} is no test clip with truth; there are {clips}")
        for i in chosen:
            series = _series(round_name, system, clip_id)
            rows.append({"frame": int(columns["frame"][i]), "nme": round(float(columns["nme"][i]), 6), **series})
    return rows


def acceptance_rows(summaries: Mapping[str, Mapping]) -> Rows:
    """What became of the frames that a round mined: rows round, outcome, frames (kept frames by whom they teach)."""
    rows = []
    for round_name, summary in summaries.items():
        outcomes = {f"teaches the {model}": count for model, count in summary["teaches"].items()}
        outcomes |= {f"dropped: {reason}": count for reason, count in summary["dropped"].items()}
        rows += [{"round": round_name, "outcome": outcome, "frames": count} for outcome, count in outcomes.items()]
    return rows


def training_rows(logs: Mapping[tuple[str, str], Rows]) -> Rows:
    """Validation errors: rows epoch, validation_error, panel (the model), series, …. logs: (round, model) -> rows of its log."""
    return [
        {
            "epoch": int(row["epoch"]),
            "validation_error": float(row["value"]),
            **_series(round_name, model, model),
        }
        for (round_name, model), log in logs.items()
        for row in log
        if row["name"] == "validation_error"
    ]


def _series(round_name: str, system: str, panel: str) -> dict:
    return {"panel": panel, "series": series_name(round_name, system), "round": round_name, "system": system}


def ced_chart(rows: Rows, rounds: Sequence[str]) -> str:
    """A panel per dataset, two beside each other."""
    line = (
        alt.Chart()
        .mark_line(strokeWidth=2)
        .encode(
            x=alt.X("threshold:Q", title="error / inter-ocular distance", axis=alt.Axis(format=PERCENT, tickCount=5)),
            y=alt.Y("share:Q", title="share of frames", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format=PERCENT, tickCount=5)),
            color=_round_colour(rounds),
            strokeDash=_system_dash("system"),
        )
        .properties(width=420, height=270)
    )
    return svg(
        alt.layer(line, data=_data(rows))
        .facet(facet=alt.Facet("panel:N", title=None, sort=list(dict.fromkeys(row["panel"] for row in rows))), columns=2)
        .resolve_axis(x="independent")
    )


def error_chart(rows: Rows, hidden: Sequence[float] = ()) -> str:
    """Error over time, a line for each series. hidden: share of the landmarks that cannot be seen in each frame, a grey area with an axis
    of its own on the right; none: no area."""
    names = list(dict.fromkeys(row["series"] for row in rows))
    colours = [COLOURS[0], COLOURS[2], COLOURS[1], *COLOURS[3:]]
    lines = (
        alt.Chart(_data(rows))
        .mark_line(strokeWidth=1.6)
        .encode(
            x=alt.X("frame:Q", title="frame"),
            y=alt.Y("nme:Q", title="error / inter-ocular distance", axis=alt.Axis(format=".1%")),
            color=alt.Color("series:N", title=None, sort=names, scale=alt.Scale(domain=names, range=colours[: len(names)])),
        )
        .properties(width=890, height=230)
    )
    if not len(hidden):
        return svg(lines)
    area = (
        alt.Chart(_data([{"frame": frame, "hidden": float(share)} for frame, share in enumerate(hidden)]))
        .mark_area(color=COLOURS[0], opacity=0.25, interpolate="step")
        .encode(
            x=alt.X("frame:Q", title="frame"),
            y=alt.Y(
                "hidden:Q",
                title="landmarks hidden",
                scale=alt.Scale(domain=[0, 1]),
                axis=alt.Axis(format=PERCENT, tickCount=5, grid=False, orient="right"),
            ),
        )
    )
    return svg(alt.layer(area, lines).resolve_scale(y="independent"))


def acceptance_chart(rows: Rows) -> str:
    outcomes = sorted({row["outcome"] for row in rows}, key=lambda outcome: (outcome.startswith("dropped"), outcome))
    kept = [outcome for outcome in outcomes if not outcome.startswith("dropped")]
    greys = ["#6f7682", "#959ca7", "#b9bec6", "#7d6f6f", "#a39292"]
    dropped = [greys[i % len(greys)] for i in range(len(outcomes) - len(kept))]
    colours = [COLOURS[(i + 1) % len(COLOURS)] for i in range(len(kept))] + dropped
    chart = (
        alt.Chart(_data([row | {"order": outcomes.index(row["outcome"])} for row in rows]))
        .mark_bar()
        .encode(
            y=alt.Y("round:N", title=None),
            x=alt.X("frames:Q", title="frames mined", stack="zero"),
            color=alt.Color("outcome:N", title=None, sort=outcomes, scale=alt.Scale(domain=outcomes, range=colours)),
            order=alt.Order("order:Q"),
        )
        .properties(width=890, height=alt.Step(38))
    )
    return svg(chart)


def training_chart(rows: Rows, rounds: Sequence[str]) -> str:
    line = (
        alt.Chart()
        .mark_line(strokeWidth=2)
        .encode(
            x=alt.X("epoch:Q", title="epoch", axis=alt.Axis(tickMinStep=1, format="d")),
            y=alt.Y("validation_error:Q", title="validation error", scale=alt.Scale(zero=False), axis=alt.Axis(format=".1%")),
            color=_round_colour(rounds),
        )
        .properties(width=410, height=220)
    )
    panels = alt.layer(line, line.mark_point(size=22, filled=True), data=_data(rows)).facet(column=alt.Column("panel:N", title=None))
    return svg(panels.resolve_scale(x="independent", y="independent"))


def tradeoff_chart(rows: Rows) -> str:
    """Jitter over lag, a panel for every dataset: filters as lines, what has one setting as points."""
    names = list(dict.fromkeys(row["series"] for row in rows))
    colours = {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(names)}
    base = alt.Chart().encode(
        x=alt.X("lag:Q", title="lag, frames"),
        y=alt.Y("jitter:Q", title="residual jitter / inter-pupil distance", axis=alt.Axis(format=".1%"), scale=alt.Scale(zero=True)),
        color=alt.Color("series:N", title=None, sort=names, scale=alt.Scale(domain=names, range=list(colours.values()))),
        order=alt.Order("lag:Q"),
    )
    line = base.mark_line(strokeWidth=1.6).transform_filter("datum.setting != ''")
    dots = base.mark_point(size=18, filled=True).transform_filter("datum.setting != ''")
    systems = base.mark_point(size=130, filled=True, shape="diamond", opacity=1).transform_filter("datum.setting == ''")
    panels = alt.layer(line, dots, systems, data=_data(rows)).properties(width=410, height=270)
    return svg(panels.facet(column=alt.Column("panel:N", title=None, sort=list(dict.fromkeys(row["panel"] for row in rows)))))


def svg(chart: alt.TopLevelMixin) -> str:
    """The chart as an SVG element that takes its text colour from the page, so that it suits a light and a dark one."""
    ink, faint = "currentColor", "#8b93a1"
    chart = (
        chart.configure(background="transparent", font="system-ui, sans-serif")
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=ink,
            titleColor=ink,
            gridColor=faint,
            gridOpacity=0.25,
            domainColor=faint,
            tickColor=faint,
            titleFontWeight=500,
        )
        .configure_legend(labelColor=ink, titleColor=ink, symbolStrokeWidth=2.5, orient="top", labelLimit=400, columnPadding=24)
        .configure_header(labelColor=ink, titleColor=ink, labelFontSize=12, labelFontWeight=600)
    )
    return vl_convert.vegalite_to_svg(chart.to_dict())


def write_rows(path: Path, rows: Rows, columns: Sequence[str]) -> None:
    """CSV with a header, atomically."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def _data(rows: Rows) -> alt.Data:
    return alt.Data(values=rows)


def _round_colour(rounds: Sequence[str]) -> alt.Color:
    colours = [COLOURS[i % len(COLOURS)] for i in range(len(rounds))]
    return alt.Color("round:N", title="round", sort=list(rounds), scale=alt.Scale(domain=list(rounds), range=colours))


def _system_dash(field: str) -> alt.StrokeDash:
    return alt.StrokeDash(f"{field}:N", title="system", scale=alt.Scale(domain=["detector", "tracker"], range=[[4, 3], [1, 0]]))
