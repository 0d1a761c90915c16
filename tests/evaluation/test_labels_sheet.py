import json

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from strrn.cli import app
from strrn.core.landmarks import scheme_to_dict
from strrn.core.tables import still_crops_schema, write_table
from strrn.evaluation.labels_sheet import CAPTION, LABEL, PICTURE, labels_sheet
from tests.runtime import tiny

SOURCES = ["rendered"] * 5 + ["own"] * 3


@pytest.fixture
def crops(tmp_path):
    """Grey crops whose five points lie at 20, 45, …; the last of the third own picture is not labelled."""
    points = np.full((8, 5, 2), 20, np.float32) + 25 * np.arange(5, dtype=np.float32)[:, None]
    valid = np.ones((8, 5), bool)
    valid[7, 4] = False
    image = cv2.imencode(".png", np.full((150, 150, 3), 90, np.uint8))[1].tobytes()
    columns = {name: SOURCES for name in ("identity", "licence", "source")} | {"split": ["train"] * 8}
    columns |= {"image_id": [f"{source}/{number}" for number, source in enumerate(SOURCES)], "image": [image] * 8}
    columns |= {"points_crop": np.where(valid[..., None], points, np.nan), "valid": valid, "visible": valid}
    write_table(tmp_path / "stills_train.parquet", columns, still_crops_schema(5))
    return tmp_path


def test_points_stand_where_the_labels_are(crops):
    sheet, counts = labels_sheet(crops / "stills_train.parquet", tiny.SCHEME, None, count=30)
    assert counts == {"own": 3, "rendered": 5} and sheet.shape == (PICTURE + CAPTION, 3 * PICTURE, 3)
    places = [round((20 + 25 * number + 0.5) * PICTURE / 150 - 0.5) for number in range(5)]
    drawn = [[bool(np.abs(sheet[at, left + at].astype(int) - LABEL).max() < 40) for at in places] for left in (0, PICTURE, 2 * PICTURE)]
    assert drawn == [[True] * 5, [True] * 5, [True] * 4 + [False]]


def test_the_source_can_be_chosen_and_must_exist(crops):
    sheet, _ = labels_sheet(crops / "stills_train.parquet", tiny.SCHEME, "rendered", count=4)
    assert sheet.shape[1] == 4 * PICTURE
    with pytest.raises(ValueError, match=r"no labels of source '300w'; it has {'own': 3, 'rendered': 5}"):
        labels_sheet(crops / "stills_train.parquet", tiny.SCHEME, "300w", count=4)


def test_the_command(crops, monkeypatch):
    monkeypatch.chdir(crops)
    scheme = crops / "five.yaml"
    scheme.write_text(json.dumps(scheme_to_dict(tiny.SCHEME)))  # JSON is YAML
    result = CliRunner().invoke(app, ["labels", "--crops", ".", "--scheme", str(scheme)])
    assert result.exit_code == 0 and "3 own, 5 rendered (train)" in result.output, result.output
    assert cv2.imread(str(crops / "reports/labels.png")).shape[1] == 3 * PICTURE
    missing = CliRunner().invoke(app, ["labels", "--crops", ".", "--split", "tset"])
    assert missing.exit_code == 1 and "--split is one of train, val, test" in missing.output
