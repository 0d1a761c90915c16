import pytest

from strrn.core.summary import DASH, DATASETS, MINUS, OF_STILLS, WITH_TRUTH, Cell, cell, flatten, number, shown_datasets


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        (None, ".2%", DASH),
        (0.0231, ".2%", "2.31\u00a0%"),
        (-0.0001, ".2f", "0.00"),
        (-0.05, ".2f", f"{MINUS}0.05"),
        (1882, ",d", "1\u202f882"),
    ],
)
def test_numbers_are_written_as_people_write_them(value, form, text):
    assert number(value, form) == text


def test_a_change_is_against_the_base_and_only_where_it_says_something():
    error, lag = WITH_TRUTH[0], WITH_TRUTH[2]
    assert cell(error, {"nme_inter_ocular": 0.03}, {"nme_inter_ocular": 0.04}) == Cell("3.00\u00a0%", 0.03, pytest.approx(-25))
    assert cell(error, {"nme_inter_ocular": 0.03}) == Cell("3.00\u00a0%", 0.03)
    assert cell(lag, {"lag_e1": 0.1}, {"lag_e1": 0.2}).change is None
    assert cell(error, {}, {"nme_inter_ocular": 0.04}) == Cell(DASH, None)
    written = [(one.change_text, one.tone) for one in (Cell("", 0, change) for change in (None, -25.2, 12.6, 0.4))]
    assert written == [("", "same"), (f"{MINUS}25 %", "better"), ("+13 %", "worse"), ("+0 %", "same")]


def test_nested_metrics_become_one_level():
    assert flatten({"r0": {"auc": {"a": 0.5}, "n": 1}, "frames": 7}) == {"r0.auc.a": 0.5, "r0.n": 1, "frames": 7}


def test_data_sets_of_pictures_are_shown_where_a_round_has_them():
    assert shown_datasets({"r0": {"detector": {"real_clips": {}}}}) == DATASETS
    shown = shown_datasets({"r0": {"detector": {"real_clips": {}, "own_test": {}}, "tracker": {"300vw_category_1": {}}}})
    assert shown == DATASETS | {"own_test": OF_STILLS}
