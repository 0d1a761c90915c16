"""The figures that decide whether a model is released: what counts, and the rule by which one version is better than another."""

from dataclasses import dataclass
from statistics import mean

from flows.train import METRICS_FILE
from strrn.core.summary import exported_round

# (dataset, figure) of the exported tracker -> slack. Less is better for all of them. The slack is added to both sides of a ratio,
# because two figures near 0 make any ratio and mean the same.
FIGURES = {
    ("rendered_test", "nme_inter_ocular"): 0,
    ("rendered_test", "residual_jitter"): 0,
    ("rendered_test", "lag_e1"): 0.05,  # frames
    ("rendered_test", "missing"): 0.005,  # half a per cent of the frames
    ("head_scan", "nme_inter_ocular"): 0,
    ("head_scan", "residual_jitter"): 0,
    ("head_scan", "lag_e1"): 0.05,
    ("head_scan", "missing"): 0.005,
    ("real_clips", "rt_jitter"): 0,
}


@dataclass(frozen=True)
class Comparison:
    """rows: a figure each, with the released value, the new one and their ratio. reasons: why this is no better; none if it is."""

    rows: list[dict]
    reasons: list[str]
    ratio: float | None  # mean; None for a first release


def compare_trackers(new: dict, released: dict | None, tolerance: float) -> Comparison:
    """Compare the exported trackers of two reports/metrics.json.

    The rule: with ratio = (|new| + slack) / (|released| + slack), no ratio is above 1 + tolerance, and the mean of all is below 1. The
    sign counts for no figure (a tracker may lag or lead); a figure that was 0 and is not any more, without slack, has the ratio 2.
    What the released version has must be there; what neither has, or only the new one, is shown and not compared. Without a released
    version there is no reason against. Raises ValueError where the new version has no figure at all.
    """
    new_figures, old_figures = figures(new), figures(released) if released is not None else {}
    rows, reasons, ratios = [], [], []
    for (dataset, name), slack in FIGURES.items():
        value, before = new_figures.get((dataset, name)), old_figures.get((dataset, name))
        ratio = None
        if before is not None and value is None:
            reasons.append(f"{dataset} {name} is missing, the released version has it")
        elif before is not None:
            ratio = (abs(value) + slack) / (abs(before) + slack) if before or slack else 1.0 + (value != 0)
            ratios.append(ratio)
            if ratio > 1 + tolerance:
                reasons.append(f"{dataset} {name} is worse by {ratio - 1:.1%}, more than {tolerance:.1%}: {value} after {before}")
        rows.append({"dataset": dataset, "figure": name, "released": before, "new": value, "ratio": ratio and round(ratio, 4)})
    if not any(row["new"] is not None for row in rows):
        raise ValueError(f"{METRICS_FILE} has none of the figures that are compared: {', '.join(' '.join(key) for key in FIGURES)}")
    if released is not None and not ratios:
        reasons.append("the two versions have no figure in common")
    elif ratios and mean(ratios) >= 1:
        reasons.append(f"the mean ratio is {mean(ratios):.4f}, not below 1")
    return Comparison(rows, reasons, mean(ratios) if ratios else None)


def figures(metrics: dict) -> dict[tuple[str, str], float | None]:
    """(dataset, figure) -> value, of the exported tracker. Raises ValueError for metrics without rounds."""
    if not metrics.get("rounds"):
        raise ValueError(f"{METRICS_FILE} has no rounds: run `dvc repro`")
    tracker = metrics["rounds"][exported_round(metrics)]["tracker"]
    return {(dataset, name): tracker.get(dataset, {}).get(name) for dataset, name in FIGURES}


def markdown(rows: list[dict]) -> str:
    """The rows of a comparison as a table for people."""
    lines = ["| data | figure | released | new | ratio |", "|---|---|---|---|---|"]
    lines += ["| " + " | ".join("-" if cell is None else str(cell) for cell in row.values()) + " |" for row in rows]
    return "\n".join(lines)
