import pytest

from strrn.stages.rounds import load_round, round_names


def params(tmp_path, rounds: str):
    path = tmp_path / "params.yaml"
    path.write_text(f"seed: 0\nrounds:{rounds}\n")
    return path


def test_rounds_in_their_order_after_r0(tmp_path):
    path = params(tmp_path, "\n  r1: {from: r0, threshold: 0.03}\n  r2b: {from: r1}\n  r2: {from: r1}")
    assert round_names(path) == ["r0", "r1", "r2b", "r2"]
    assert load_round("r1", path) == ("r0", {"threshold": 0.03})
    assert load_round("r2", path) == ("r1", {})


def test_no_rounds_is_r0_alone(tmp_path):
    assert round_names(params(tmp_path, " {}")) == ["r0"]


@pytest.mark.parametrize("entry", ["{from: r5}", "{from: r1}", "{threshold: 0.1}", "3"])
def test_a_round_that_starts_nowhere_is_refused(tmp_path, entry):
    with pytest.raises(ValueError, match=r"rounds.r1.from must name a round above it \['r0'\], found"):
        round_names(params(tmp_path, f"\n  r1: {entry}"))


def test_an_unknown_round_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no round 'r9'"):
        load_round("r9", params(tmp_path, "\n  r1: {from: r0}"))
