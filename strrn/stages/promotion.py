"""Which round's models go on to `refine` and `export`: by default the one whose tracker does best on the validation clips."""

import logging
from collections.abc import Mapping, Sequence

from strrn.core.files import read_json
from strrn.core.summary import validation_area
from strrn.stages.paths import SCORES
from strrn.stages.rounds import round_names

log = logging.getLogger(__name__)
BEST, LAST = "best", "last"


def validation_areas(rounds: Mapping[str, Mapping]) -> dict[str, float]:
    """Round -> its `validation_area`; empty where not all rounds have one."""
    areas = {name: validation_area(systems) for name, systems in rounds.items()}
    return {} if None in areas.values() else areas


def chosen_round(name: str) -> str:
    """The round that `export.round` names. `best`: on validation clips, the earlier of equal ones; the last one where there are none.

    Raises ValueError for a round that is not there, FileNotFoundError for one that was not scored and is to be compared.
    """
    names = round_names()
    check_rule(name, names)
    if name == BEST and (areas := validation_areas({each: _scores(each) for each in names})):
        listed = ", ".join(f"{each} {area:.3f}" for each, area in areas.items())
        log.info("export.round is %s; area under the error curve of validation clips: %s", BEST, listed)
        return max(areas, key=lambda each: areas[each])
    return name if name in names else names[-1]


def check_rule(name: str, names: Sequence[str]) -> None:
    """Raises ValueError where `export.round` names none of the rounds."""
    if name not in (BEST, LAST, *names):
        raise ValueError(f"params.yaml, export.round: found {name!r}, expected `{BEST}`, `{LAST}` or one of {[*names]}")


def _scores(name: str) -> dict:
    path = SCORES / f"{name}.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: the round has not been scored; run `dvc repro evaluate`, or set export.round to {LAST}")
    return read_json(path)
