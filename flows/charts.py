"""Bars of a figure over the rounds, as numbers of an SVG drawing; page.html draws them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from strrn.core.summary import LAST_SYSTEM, number

# In the units of the drawing.
WIDTH, TOP, BOTTOM, WIDEST = 240, 18, 84, 26
MOST_NAMES, MOST_LABELS = 6, 4  # rounds; of more, the first and the last have a name or a label


@dataclass(frozen=True)
class Chart:
    """A figure over the rounds: bars (system, title, x, y, height), labels (text, x, y) on them, and the rounds' names (text, x) below."""

    title: str
    width: float
    bars: list[tuple[str, str, float, float, float]] = field(default_factory=list)
    labels: list[tuple[str, float, float]] = field(default_factory=list)
    names: list[tuple[str, float]] = field(default_factory=list)


def chart(title: str, scores: Mapping[str, Mapping[str, float | None]], form: str) -> Chart:
    """Bars from zero, the systems of a round side by side. scores: round -> system -> value."""
    highest = max((value for systems in scores.values() for value in systems.values() if value is not None), default=0) or 1
    group = WIDTH / len(scores)
    width = min(WIDEST, 0.38 * group)
    drawn = Chart(title, width)
    ends = {0, len(scores) - 1}
    for i, (name, systems) in enumerate(scores.items()):
        middle = (i + 0.5) * group
        if len(scores) <= MOST_NAMES or i in ends:
            drawn.names.append((name, middle))
        for k, (system, value) in enumerate(systems.items()):
            if value is None:
                continue
            height = (BOTTOM - TOP) * value / highest
            x, y = middle + (k - len(systems) / 2) * (width + 2) + 1, BOTTOM - height
            drawn.bars.append((system, f"{name} {system}: {number(value, form)}", round(x, 1), round(y, 1), round(height, 1)))
            if len(scores) <= MOST_LABELS or (i in ends and system == LAST_SYSTEM):
                drawn.labels.append((f"{100 * value:.2f}", round(x + width / 2, 1), round(y - 4, 1)))
    return drawn
