"""Which round's models go on to `refine` and `export`: by default the one whose tracker does best on the validation clips."""

from collections.abc import Mapping

from strrn.core.files import read_json
from strrn.core.summary import VALIDATION
from strrn.stages.paths import SCORES
from strrn.stages.rounds import round_names

BEST, LAST = "best", "last"
METRIC = "auc_0.08"  # of frames, so that those without a face count


def validation_scores() -> dict[str, float]:
    """Round -> area under the curve of its tracker's errors on the validation clips; empty where not all rounds have such clips, as
    with a scheme whose points the rendered truth does not have. Raises FileNotFoundError for a round that was not scored."""
    scores = {}
    for name in round_names():
        path = SCORES / f"{name}.json"
        if not path.is_file():
            raise FileNotFoundError(f"{path}: the round has not been scored; run `dvc repro evaluate`, or set export.round to {LAST}")
        scores[name] = read_json(path)["tracker"].get(VALIDATION)
    return {name: _area(of_clips) for name, of_clips in scores.items()} if all(scores.values()) else {}


def chosen_round(name: str) -> str:
    """The round that `export.round` names. `best`: on validation clips, the earlier of equal ones; the last one where there are none.

    Raises ValueError for a round that is not there.
    """
    names = round_names()
    if name not in (BEST, LAST, *names):
        raise ValueError(f"params.yaml, export.round: found {name!r}, expected `{BEST}`, `{LAST}` or one of {names}")
    if name == BEST and (scores := validation_scores()):
        return max(scores, key=lambda each: scores[each])
    return name if name in names else names[-1]


def _area(scores: Mapping) -> float:
    """By the scheme's first normaliser, whatever it is called."""
    return next(value for key, value in scores.items() if key.startswith(METRIC))
