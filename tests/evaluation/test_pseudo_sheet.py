from dataclasses import replace

import cv2
import numpy as np
import pytest

from strrn.core.geometry import bounding_box
from strrn.core.images import encode_jpeg
from strrn.core.tables import crops_schema, read_table, write_table
from strrn.evaluation.pictures import window
from strrn.evaluation.pseudo import read_round
from strrn.evaluation.pseudo_sheet import (
    CAPTION,
    COLUMNS,
    DETECTOR_COLOUR,
    DROPPED_COLOUR,
    GAP,
    GROUND,
    LABEL_COLOUR,
    PICTURE,
    TRACKER_COLOUR,
    check_name,
    choose,
    choose_kept_and_dropped,
    draw_frame,
    draw_sheet,
    reason_text,
    write_sheet,
)
from tests.evaluation.small_rounds import FACE, FRAMES, GREY, SIZE, Frame, write_crops, write_round
from tests.evaluation.small_run import SCHEME, L

IMAGE = np.full((SIZE, SIZE, 3), GREY, np.uint8)


@pytest.fixture(scope="module")
def crops(tmp_path_factory):
    return write_crops(tmp_path_factory.mktemp("crops"))


@pytest.fixture
def mined(tmp_path):
    return read_round(write_round(tmp_path / "r1"), L)


def near(image: np.ndarray, place: np.ndarray, colour: tuple[int, int, int]) -> bool:
    """Whether the colour was drawn within a pixel of the place; lines blend at their rims."""
    x, y = place.round().astype(int)
    return bool((np.abs(image[y - 1 : y + 2, x - 1 : x + 2].astype(int) - colour).max(-1) < 60).any())


def row_of(mined, frame):
    return int(np.flatnonzero(mined.frames == frame)[0])


def test_chosen_frames_go_through_all_losses_and_clips(tmp_path):
    # 30 frames of one clip with losses 0.001, 0.002, …, and one frame of another clip between its 5th and 6th.
    frames = [Frame("long.0", i, i / 1000, 0.0005, "l_det") for i in range(1, 31)] + [Frame("short.0", 1, 0.0001, 0.0055, "l_tck")]
    kept = Frame("long.0", 99, 0.01, 0.01, teaches=(("tracker", 0.0),))
    mined = read_round(write_round(tmp_path / "r1", (*frames, kept)), L)
    rows = choose(mined, ~mined.kept, 4)
    # Parts of 8, 8, 8 and 7 frames: .001 to .007 with the short clip, .008 to .015, .016 to .023, .024 to .030; the middle one of each.
    np.testing.assert_allclose(mined.worst[rows], [0.004, 0.011, 0.019, 0.027], atol=1e-6)
    rows = choose(mined, ~mined.kept, 16)  # parts of two: the third has the short clip's frame, which was not taken yet
    assert mined.track_ids[rows[2]] == "short.0" and len(set(rows)) == 16 and (np.diff(mined.worst[rows]) > 0).all()
    assert len(choose(mined, ~mined.kept, 99)) == 31 and len(choose(mined, ~mined.kept, 0)) == 0


def test_half_of_the_frames_are_dropped_ones_where_there_are_enough(mined):
    everything = np.ones(len(mined.frames), bool)  # 4 kept, 5 dropped
    for count, expected in ((6, (3, 3)), (5, (3, 2)), (1, (1, 0)), (9, (4, 5)), (50, (4, 5))):
        assert tuple(map(len, choose_kept_and_dropped(mined, everything, count))) == expected
    assert tuple(map(len, choose_kept_and_dropped(mined, mined.kept, 6))) == (4, 0)
    kept, dropped = choose_kept_and_dropped(mined, ~mined.kept, 3)
    assert len(kept) == 0 and not mined.kept[dropped].any() and len(dropped) == 3


def test_the_reason_says_by_how_much(mined):
    texts = {int(frame): reason_text(mined, row) for row, frame in enumerate(mined.frames) if mined.reasons[row]}
    assert texts == {
        14: "L_tck 15.0 % over T",
        15: "L_det 50.0 % over T, L_tck 100.0 % over T",
        16: "repeats the frame before",
        2: "L_det 5.0 % over T",
        4: "follows a gap in the track",
    }
    generous = replace(mined, threshold=0.05)  # as with `gate: landmark`, which looks at every landmark
    assert reason_text(generous, row_of(mined, 14)) == "L_tck of too many landmarks"


def test_points_are_drawn_where_they_are(mined):
    view = window(bounding_box(FACE), PICTURE)
    places = view.to_crop(FACE) + (GAP, 0)
    pixel = view.scale
    chin = [5, 8, 11]  # far from all other landmarks
    label = {11: 1.0, 12: 3.0, 13: 0.0}
    for frame, right in label.items():
        cell = draw_frame(mined, row_of(mined, frame), IMAGE, SCHEME)
        assert cell.shape == (PICTURE + CAPTION + GAP, PICTURE + GAP, 3)
        for landmark in chin:
            assert near(cell, places[landmark] + (right * pixel, 0), LABEL_COLOUR)
            assert not near(cell, places[landmark] + (right * pixel, 12), LABEL_COLOUR)
        if frame == 11:
            assert all(near(cell, places[i], DETECTOR_COLOUR) and near(cell, places[i] + (2 * pixel, 0), TRACKER_COLOUR) for i in chin)
    dropped = draw_frame(mined, row_of(mined, 14), IMAGE, SCHEME)
    assert all(near(dropped, places[i], DETECTOR_COLOUR) for i in chin)
    for colour in (LABEL_COLOUR, TRACKER_COLOUR):
        assert not any(near(dropped, place, colour) for place in places)
    # Away from the face the crop is as it was, and the caption is written in the colour of the verdict.
    assert (dropped[5, GAP + 5] == GREY).all()
    caption = dropped[PICTURE:].astype(int)
    assert (np.abs(caption - DROPPED_COLOUR).max(-1) < 40).any() and (caption[-GAP + 6 :] == GROUND).all()


def test_a_sheet_has_a_section_for_kept_and_one_for_dropped(mined, crops):
    kept, dropped = np.flatnonzero(mined.kept), np.flatnonzero(~mined.kept)
    cell = PICTURE + CAPTION + GAP
    both, alone = (draw_sheet(mined, "r1", kept, rows, crops, SCHEME) for rows in (dropped, dropped[:0]))
    assert both.shape[1] == alone.shape[1] == COLUMNS * (PICTURE + GAP) + GAP
    assert both.shape[0] - alone.shape[0] > cell
    assert both.std() > 20 and (np.abs(both.astype(int) - LABEL_COLOUR).max(-1) < 30).sum() > 100
    with pytest.raises(ValueError, match="no such frames to show"):
        draw_sheet(mined, "r1", kept[:0], dropped[:0], crops, SCHEME)


def test_the_crop_is_that_of_the_frame(mined, crops, tmp_path):
    table = read_table(crops / "tracks/a.0.parquet")
    table["image"] = [encode_jpeg(np.full((SIZE, SIZE, 3), 10 * number, np.uint8), 95) for number in range(len(table["frame"]))]
    write_table(tmp_path / "tracks/a.0.parquet", table, crops_schema())
    sheet = draw_sheet(mined, "r1", np.array([row_of(mined, 12), row_of(mined, 13)]), np.array([], int), tmp_path, SCHEME)
    top = sheet.shape[0] - (PICTURE + CAPTION + GAP)
    assert [int(sheet[top + 5, GAP + 5 + i * (PICTURE + GAP)].mean()) for i in range(2)] == [20, 30]  # the 3rd and the 4th of the track


def test_crops_that_are_missing_are_named(mined, crops, tmp_path):
    rows = np.flatnonzero(mined.kept)
    with pytest.raises(FileNotFoundError, match=r"tracks/a.0.parquet is missing: `dvc repro crop` makes it"):
        draw_sheet(mined, "r1", rows, rows[:0], tmp_path, SCHEME)
    table = read_table(crops / "tracks/a.0.parquet")
    write_table(tmp_path / "tracks/a.0.parquet", {name: values[:2] for name, values in table.items()}, crops_schema())
    with pytest.raises(ValueError, match=r"a.0.parquet has no frame 12: the round was mined from other crops"):
        draw_sheet(mined, "r1", rows, rows[:0], tmp_path, SCHEME)


def test_a_long_name_of_a_clip_stays_in_its_cell(tmp_path):
    frames = tuple(
        replace(frame, track_id="a_very_long_name_of_a_clip_that_somebody_gave_it.0") for frame in FRAMES if frame.track_id == "a.0"
    )
    mined = read_round(write_round(tmp_path / "r1", frames), L)
    cell = draw_frame(mined, 0, IMAGE, SCHEME)
    first_line = cell[PICTURE + 4 : PICTURE + 24].astype(int)
    written = np.flatnonzero((np.abs(first_line - GROUND).max(-1) > 40).any(0))
    assert written.min() >= GAP and written.max() <= PICTURE + GAP - 1 and len(written) > PICTURE / 2


def test_sheets_are_written_as_their_name_says(tmp_path):
    sheet = np.full((40, 60, 3), (200, 100, 0), np.uint8)
    for name, tolerance in (("sub/sheet.png", 0), ("sheet.jpg", 4)):
        check_name(tmp_path / name)
        write_sheet(tmp_path / name, sheet)
        np.testing.assert_allclose(cv2.imread(str(tmp_path / name))[20, 30], (0, 100, 200), atol=tolerance)  # OpenCV reads BGR
    with pytest.raises(ValueError, match=r"sheet.pdf: expected a name that ends in .png or .jpg"):
        check_name(tmp_path / "sheet.pdf")
