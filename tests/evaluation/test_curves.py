import csv

import numpy as np
import pytest

from strrn.evaluation.curves import (
    COLOURS,
    COLUMNS,
    acceptance_rows,
    ced_chart,
    ced_rows,
    error_chart,
    error_rows,
    training_rows,
    write_rows,
)


def frames(nme: list[float]) -> dict[str, np.ndarray]:
    count = len(nme)
    return {
        "system": np.array(["tracker"] * count, object),
        "dataset": np.array(["rendered_test"] * count, object),
        "clip_id": np.array(["a"] * count, object),
        "frame": np.arange(count),
        "nme": np.array(nme),
    }


def test_ced_rows_by_hand():
    rows = ced_rows({"r0": frames([0.01, 0.03, np.inf, np.nan])})
    share = {row["threshold"]: row["share"] for row in rows}
    assert share[0.0] == 0 and share[0.01] == pytest.approx(1 / 3, abs=1e-5) and share[0.08] == pytest.approx(2 / 3, abs=1e-5)
    assert list(rows[0]) == list(COLUMNS["ced"])
    assert rows[0]["series"] == "r0 tracker" and rows[0]["panel"] == "rendered_test"


def test_error_rows_leave_out_frames_without_points():
    rows = error_rows({"r0": frames([0.01, np.inf, 0.02])}, "a", [("r0", "tracker")])
    assert [(row["frame"], row["nme"]) for row in rows] == [(0, 0.01), (2, 0.02)]


def test_acceptance_and_training_rows():
    summary = {"teaches": {"detector": 3, "tracker": 2}, "dropped": {"l_det": 5}}
    assert acceptance_rows({"r1": summary}) == [
        {"round": "r1", "outcome": "teaches the detector", "frames": 3},
        {"round": "r1", "outcome": "teaches the tracker", "frames": 2},
        {"round": "r1", "outcome": "dropped: l_det", "frames": 5},
    ]
    log = [{"epoch": "1", "name": "validation_error", "value": "0.05"}, {"epoch": "1", "name": "points", "value": "9"}]
    (row,) = training_rows({("r1", "detector"): log})
    assert (row["epoch"], row["validation_error"], row["panel"], row["series"]) == (1, 0.05, "detector", "r1 detector")


def test_csv_keeps_its_header_without_rows(tmp_path):
    write_rows(tmp_path / "acceptance.csv", [], COLUMNS["acceptance"])
    with (tmp_path / "acceptance.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["round", "outcome", "frames"]]


def test_charts_take_the_colour_of_the_page():
    drawing = ced_chart(ced_rows({"r0": frames([0.01, 0.02])}), ["r0"])
    assert drawing.startswith("<svg") and 'fill="currentColor"' in drawing and "rendered_test" in drawing


def test_every_line_of_the_error_chart_has_a_colour_of_its_own():
    sources = ["r0", "sbr", "r2"]
    rows = error_rows(dict.fromkeys(sources, frames([0.01, 0.02])), "a", [(source, "tracker") for source in sources])
    drawing = error_chart(rows)
    assert all(f'stroke="{COLOURS[number]}" stroke-width="1.6"' in drawing for number in range(3))
    assert "landmarks hidden" not in drawing


def test_the_error_chart_shows_where_the_face_is_covered():
    drawing = error_chart(error_rows({"r2": frames([0.01, 0.02, 0.03])}, "a", [("r2", "tracker")]), np.array([0.0, 0.5, 0.0]))
    assert "landmarks hidden" in drawing and "error / inter-ocular distance" in drawing
    assert f'fill="{COLOURS[0]}"' in drawing
