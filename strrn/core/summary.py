"""What is shown of a round's metrics, and how: the same on the page of the project and in the report."""

from collections.abc import Mapping
from dataclasses import dataclass

FIRST_SYSTEM, LAST_SYSTEM = "detector", "tracker"
MINUS, DASH = "\u2212", "\u2013"


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


ERROR = Figure("error", "nme_inter_ocular", ".2%", True)
MISSING = Figure("missing", "missing", ".1%", False)
WITH_TRUTH = (
    ERROR,
    Figure("jitter", "residual_jitter", ".2%", True),
    Figure("lag", "lag_e1", ".2f", False),
    MISSING,
)
OF_STILLS = (ERROR, MISSING)  # without time there is no jitter and no lag
WITHOUT_TRUTH = (
    Figure("jitter", "rt_jitter", ".2%", True),
    Figure("cycle error", "cycle_error", ".2%", True),
    Figure("lost", "lost", ".1%", False),
    Figure("false tracks", "false_tracks", ".1%", False),
)

DATASETS = {"rendered_test": WITH_TRUTH, "head_scan": WITH_TRUTH, "real_clips": WITHOUT_TRUTH}  # the default ones
VALIDATION = "rendered_val"  # by which rounds and settings are chosen
VALIDATION_METRIC = "auc_0.08"  # of frames, so that those without a face count
STILLS = {"rendered": "stills_test", "own": "own_test", "300w": "300w_test"}  # labelled pictures, by their source
TITLES = {
    "rendered_test": "rendered clips",
    VALIDATION: "validation clips (chosen by)",
    "head_scan": "head scan",
    "real_clips": "real clips",
    "stills_test": "rendered stills",
    "own_test": "own pictures",
    "300w_test": "300-W",
}


def exported_round(metrics: Mapping) -> str | None:
    """The round of reports/metrics.json whose models are exported: in files of older versions, which do not name it, the last; None without
    rounds."""
    return metrics.get("exported") or next(reversed(metrics.get("rounds") or {}), None)


def validation_area(systems: Mapping[str, Mapping]) -> float | None:
    """What rounds and runs are chosen by, of {system: {dataset: scores}}: the area under the curve of the tracker's errors on the validation
    clips, by the scheme's first normaliser; None without such clips, as where the scheme has points that the rendered truth has not."""
    scores = systems[LAST_SYSTEM].get(VALIDATION) or {}
    return next((value for name, value in scores.items() if name.startswith(VALIDATION_METRIC)), None)


def shown_datasets(rounds: Mapping[str, Mapping]) -> dict[str, tuple[Figure, ...]]:
    """The figures of the default data sets, and of those of labelled pictures that {round: {system: {dataset: …}}} has."""
    found = {name for systems in rounds.values() for scores in systems.values() for name in scores}
    return DATASETS | {name: OF_STILLS for name in STILLS.values() if name in found}


def cell(figure: Figure, scores: Mapping, base: Mapping | None = None) -> Cell:
    """The figure of a data set's scores, a dash where they have none; its change against those of `base`, where they are given."""
    value, before = scores.get(figure.metric), (base or {}).get(figure.metric)
    change = 100 * (value / before - 1) if figure.relative and value is not None and before else None
    return Cell(number(value, figure.form), value, change)


def number(value: float | None, form: str) -> str:
    """A value as people write it: a dash for None, a minus that is one (none before 0), narrow spaces."""
    if value is None:
        return DASH
    text = format(value, form).replace("%", "\u00a0%").replace(",", "\u202f")
    return text.replace("-", MINUS if text.strip("-0.\u00a0%") else "")


def flatten(values: Mapping, prefix: str = "") -> dict[str, object]:
    """{"r0": {"auc": 0.5}} -> {"r0.auc": 0.5}."""
    flat: dict[str, object] = {}
    for key, value in values.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat
