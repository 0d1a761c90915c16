import pytest

from flows.figures import FIGURES, compare_trackers, markdown


def metrics(**changes: float | None) -> dict:
    """Metrics of two rounds, whose last tracker, the exported one, has 0.02 everywhere but in the given figures (`head_scan.missing`)."""
    tracker = {dataset: {} for dataset, _ in FIGURES}
    for dataset, name in FIGURES:
        tracker[dataset][name] = changes.get(f"{dataset}.{name}", 0.02)
    return {"rounds": {"r0": {"tracker": {}}, "r1": {"tracker": tracker}}}


def test_all_better_has_no_reason_against():
    better = metrics(**{f"{dataset}.{name}": 0.01 for dataset, name in FIGURES})
    comparison = compare_trackers(better, metrics(), 0.05)
    # 0.01 / 0.02 five times, (0.01 + 0.05) / (0.02 + 0.05) = 0.8571 twice, 0.015 / 0.025 = 0.6 twice.
    assert comparison.reasons == [] and comparison.ratio == pytest.approx((5 * 0.5 + 2 * 6 / 7 + 2 * 0.6) / 9)
    assert [row["ratio"] for row in comparison.rows] == [0.5, 0.5, 0.8571, 0.6, 0.5, 0.5, 0.8571, 0.6, 0.5]


def test_one_figure_may_be_worse_by_the_tolerance_but_not_by_more():
    changes = {"rendered_test.nme_inter_ocular": 0.01}
    within, beyond = changes | {"real_clips.rt_jitter": 0.0209}, changes | {"real_clips.rt_jitter": 0.0212}
    assert compare_trackers(metrics(**within), metrics(), 0.05).reasons == []
    (reason,) = compare_trackers(metrics(**beyond), metrics(), 0.05).reasons
    assert reason == "real_clips rt_jitter is worse by 6.0%, more than 5.0%: 0.0212 after 0.02"


def test_the_exported_round_is_judged_and_not_a_later_one():
    better = metrics(**{f"{dataset}.{name}": 0.01 for dataset, name in FIGURES})
    better["rounds"]["r2"] = metrics()["rounds"]["r1"] | {"detector": {}}
    assert compare_trackers(better, metrics(), 0.05).reasons != []
    assert compare_trackers(better | {"exported": "r1"}, metrics(), 0.05).reasons == []


def test_the_same_is_no_better():
    assert compare_trackers(metrics(), metrics(), 0.05).reasons == ["the mean ratio is 1.0000, not below 1"]


def test_lag_counts_without_its_sign_and_near_zero_all_lags_are_alike():
    comparison = compare_trackers(metrics(**{"head_scan.lag_e1": -0.02}), metrics(), 0.05)
    assert comparison.rows[6]["ratio"] == 1
    before, after = metrics(**{"head_scan.lag_e1": 0.0001}), metrics(**{"head_scan.lag_e1": 0.001, "head_scan.nme_inter_ocular": 0.019})
    assert compare_trackers(after, before, 0.05).reasons == []  # ten times as much, of nothing


def test_a_figure_that_was_zero_without_slack():
    zero = {"real_clips.rt_jitter": 0.0}
    assert compare_trackers(metrics(**zero), metrics(**zero), 0.05).rows[-1]["ratio"] == 1
    assert compare_trackers(metrics(), metrics(**zero), 0.05).rows[-1]["ratio"] == 2


def test_missing_figures():
    gone, better = {"head_scan.missing": None}, {"real_clips.rt_jitter": 0.01}
    (reason,) = compare_trackers(metrics(**gone, **better), metrics(), 0.05).reasons
    assert reason == "head_scan missing is missing, the released version has it"
    fresh = compare_trackers(metrics(**better), metrics(**gone), 0.05)
    assert fresh.reasons == [] and "| head_scan | missing | - | 0.02 | - |" in markdown(fresh.rows)
    none = metrics(**{f"{dataset}.{name}": None for dataset, name in FIGURES})
    assert compare_trackers(metrics(), none, 0.05).reasons == ["the two versions have no figure in common"]
    with pytest.raises(ValueError, match="has none of the figures"):
        compare_trackers(none, None, 0.05)
    with pytest.raises(ValueError, match="has no rounds: run `dvc repro`"):
        compare_trackers({"rounds": {}}, None, 0.05)


def test_the_first_release_has_nothing_against_it():
    comparison = compare_trackers(metrics(), None, 0.05)
    assert comparison.reasons == [] and comparison.ratio is None
    assert {row["released"] for row in comparison.rows} == {None}
