"""`strrn pseudo` as a user sees it: on two small rounds, from the folder of the project."""

import json
import re
from dataclasses import replace

import cv2
import pytest
from typer.testing import CliRunner

from strrn.cli import app
from tests.evaluation.small_rounds import FRAMES, write_crops, write_round


@pytest.fixture(autouse=True)
def _project(tmp_path, monkeypatch):
    """r2 keeps no frame of the clip b."""
    monkeypatch.chdir(tmp_path)
    write_crops(tmp_path / "data/crops")
    write_round(tmp_path / "data/pseudo/r1")
    frames = tuple(replace(f, reason="l_det", teaches=()) if (f.track_id, f.number) == ("b.0", 1) else f for f in FRAMES)
    write_round(tmp_path / "data/pseudo/r2", frames)


def pseudo(*arguments):
    return CliRunner().invoke(app, ["pseudo", *map(str, arguments)])


def table_row(output, name):
    return re.search(rf"^ {name} +(.*?) *$", output, re.MULTILINE)[1].split()


def test_show_writes_a_sheet_and_prints_counts(tmp_path):
    result = pseudo("show", "r1", "--count", 6)
    assert result.exit_code == 0, result.output
    assert "r1: 9 frames seen, 4 kept (44%), T = 0.0200" in result.output and "sheet  reports/pseudo_r1.png" in result.output
    # seen, kept, share, teaches detector and tracker, dropped: gap, l_det, both, l_tck, repeats; medians and 95 % quantiles of both losses
    assert table_row(result.output, "all")[:10] == ["9", "4", "44%", "3", "3", "1", "1", "1", "1", "1"]
    assert table_row(result.output, "b.0")[:10] == ["3", "1", "33%", "1", "1", "1", "1", "0", "0", "0"]
    assert table_row(result.output, "b.0")[10:] == ["0.0180", "0.0207", "0.0130", "0.0184"]
    assert cv2.imread(str(tmp_path / "reports/pseudo_r1.png")).std() > 20


def test_show_of_one_clip_and_of_dropped_frames(tmp_path):
    tall = pseudo("show", "data/pseudo/r1", "--out", "both.png", "--clip", "a")
    low = pseudo("show", "r1", "-o", "dropped.jpg", "--clip", "b.0", "--dropped")
    assert tall.exit_code == low.exit_code == 0, tall.output + low.output
    assert "r1, a: 6 frames seen, 3 kept" in tall.output and "b.0" not in tall.output
    assert "3 frames seen, 1 kept" in low.output
    heights = [cv2.imread(str(tmp_path / name)).shape[0] for name in ("both.png", "dropped.jpg")]
    assert heights[0] > 1.5 * heights[1]  # two sections, one section
    nothing = pseudo("show", "r2", "--clip", "b", "--kept")
    assert nothing.exit_code == 1 and "no such frames to show" in nothing.output
    assert not (tmp_path / "reports/pseudo_r2.png").exists()


def test_diff_names_the_clips_that_changed():
    result = pseudo("diff", "r1", "r2")
    assert result.exit_code == 0, result.output
    assert table_row(result.output, "b.0")[:6] == ["0", "1", "0", "33%", "→", "0%"]
    assert table_row(result.output, "all")[:6] == ["3", "1", "0", "44%", "→", "33%"]
    assert " a.0 " not in result.output and "1 of 2 clips changed from r1 to r2" in result.output
    assert pseudo("diff", "r1", "data/pseudo/r1").output == "no difference: 4 of 9 frames kept in both, equal labels\n"


def test_diff_for_machines():
    found = json.loads(pseudo("diff", "r1", "r2", "--json").output)
    assert (found["first"], found["second"], found["changed"]) == ("data/pseudo/r1", "data/pseudo/r2", True)
    assert found["only_in_first"] == found["per_clip"]["b.0"]["only_in_first"] == 1 and not found["per_clip"]["a.0"]["changed"]
    assert found["moved_inter_pupil_mean"] == 0 and found["kept_share"] == {"first": 0.444444, "second": 0.333333}
    assert json.loads(pseudo("diff", "r1", "r1", "--json").output)["changed"] is False


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show", "r9"), "no round 'r9' in data/pseudo (there: r1, r2)"),
        (("diff", "r1", "r9"), "`dvc repro mine@r9` mines a round"),
        (("show", "r1", "--clip", "c"), "no clip 'c' in this round; there are a.0, b.0"),
        (("show", "r1", "--out", "sheet.pdf"), "expected a name that ends in .png or .jpg"),
        (("show", "r1", "--crops", "none"), "none/reference.json is missing: `dvc repro crop` makes it, --crops names another folder"),
        (("diff", "r1", "r2", "--scheme", "mine"), "no landmark scheme 'mine'"),
    ],
)
def test_mistakes_are_answered_with_the_cure(arguments, message):
    result = pseudo(*arguments)
    assert result.exit_code == 1 and result.output.startswith("error: ") and message in result.output
    assert isinstance(result.exception, SystemExit)


@pytest.mark.parametrize("command", [("show", "r1"), ("diff", "r2", "r1")])
def test_a_damaged_round_says_how_to_make_it_anew(tmp_path, command):
    (tmp_path / "data/pseudo/r1/detections.parquet").write_bytes(b"PAR1 and no more")
    result = pseudo(*command)
    assert result.exit_code == 1 and "`dvc repro mine@r1` restores it or makes it anew" in result.output
    assert isinstance(result.exception, SystemExit) and not (tmp_path / "reports").exists()
