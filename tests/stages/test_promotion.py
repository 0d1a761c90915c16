import pytest

from strrn.core.files import read_json, write_json
from strrn.stages.paths import SCORES
from strrn.stages.promotion import chosen_round, validation_areas


@pytest.fixture
def scored(tmp_path, monkeypatch):
    """A function that writes the scores of r0, r1 and r2: the tracker's area under the curve on validation clips, None for no such clips."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("rounds: {r1: {from: r0}, r2: {from: r1}}\n")

    def write(*areas: float | None) -> None:
        for number, area in enumerate(areas):
            of_clips = {} if area is None else {"rendered_val": {"frames": 9, "auc_0.05_eyes": 0.9 - area, "auc_0.08_eyes": area}}
            write_json(SCORES / f"r{number}.json", {"tracker": of_clips, "detector": {"rendered_val": {"auc_0.08_eyes": 1.0 - number}}})

    return write


@pytest.mark.parametrize(
    ("areas", "best"), [((0.6, 0.7, 0.65), "r1"), ((0.7, 0.7, 0.6), "r0"), ((0.5, 0.6, 0.7), "r2"), ((None, None, None), "r2")]
)
def test_a_round_that_is_worse_on_validation_clips_is_not_promoted(scored, areas, best):
    scored(*areas)
    assert chosen_round("best") == best and chosen_round("last") == "r2" and chosen_round("r0") == "r0"
    rounds = {f"r{number}": read_json(SCORES / f"r{number}.json") for number in range(3)}
    assert validation_areas(rounds) == {f"r{number}": area for number, area in enumerate(areas) if area is not None}


def test_best_needs_the_scores_of_all_rounds(scored):
    scored(0.6, 0.7)
    with pytest.raises(
        FileNotFoundError, match=r"r2.json: the round has not been scored; run `dvc repro evaluate`, or set export.round to last"
    ):
        chosen_round("best")
    scored(0.6, None, 0.5)  # of another scheme, say
    assert chosen_round("best") == "r2"


def test_a_round_can_be_named_without_scores(scored):
    assert chosen_round("last") == "r2" and chosen_round("r1") == "r1"
    with pytest.raises(ValueError, match="found 'r9', expected `best`, `last` or one of"):
        chosen_round("r9")
