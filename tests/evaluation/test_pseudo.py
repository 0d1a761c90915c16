import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from strrn.core.tables import pseudo_labels_schema, read_table, write_table
from strrn.evaluation.pseudo import clips_of, counts, crops_scheme, difference, quantiles, read_round, round_folder, select_clips
from strrn.methods.selection import FOLLOWED, Gate, Selection, ThresholdKind
from strrn.training.mining import MineParameters, mine, run_track
from tests.evaluation.small_rounds import BOTH, FACE, FRAMES, THRESHOLD, Frame, write_crops, write_round
from tests.evaluation.small_run import SCHEME, L
from tests.training.material import track
from tests.training.test_training import TRAJECTORY, Fixed, runner

D = float(SCHEME.distance(FACE))


class Noisy(torch.nn.Module):
    """A tracker that is off by the same noise in every call, more so in later frames."""

    stride = 1

    def forward(self, reduced, starts, reduced_before, points_before):
        noise = np.random.default_rng(0).normal(size=starts.shape) * np.linspace(0.1, 2, len(starts))[:, None, None]
        return starts + torch.from_numpy(noise.astype(np.float32))


@pytest.fixture
def mined(tmp_path):
    return read_round(write_round(tmp_path / "r1"), L)


def everything(mined):
    return np.ones(len(mined.frames), bool)


def test_counts_of_a_round(mined):
    total = counts(mined, everything(mined))
    assert total["frames_seen"] == 9  # two first frames have no frame before them
    assert total["kept"] == 4 and total["teaches"] == {"detector": 3, "tracker": 3}
    expected = {"follows a gap in the track": 1, "l_det": 1, "l_det and l_tck": 1, "l_tck": 1, "repeats the frame before": 1}
    assert total["dropped"] == expected and total["frames_seen"] == total["kept"] + sum(expected.values())
    # l_det in order: .001 .010 .011 .012 .014 .015 .018 .021 .030; the 95 % quantile lies at place 7.6.
    found = total["quantiles"]["l_det"]
    assert found["0.50"] == pytest.approx(0.014, abs=1e-6) and found["0.95"] == pytest.approx(0.021 + 0.6 * 0.009, abs=1e-6)
    per_clip = {name: counts(mined, rows) for name, rows in clips_of(mined, everything(mined)).items()}
    assert {name: (c["frames_seen"], c["kept"]) for name, c in per_clip.items()} == {"a.0": (6, 3), "b.0": (3, 1)}
    assert quantiles(np.zeros(0)) == {}


def test_clips_are_chosen_by_track_or_by_clip(mined):
    assert select_clips(mined, []).all()
    assert mined.frames[select_clips(mined, ["b.0"])].tolist() == [1, 2, 4]
    assert select_clips(mined, ["a"]).sum() == 6 and select_clips(mined, ["a", "b.0"]).all()
    with pytest.raises(ValueError, match=r"no clip 'c' in this round; there are a\.0, b\.0"):
        select_clips(mined, ["c"])


def test_labels_and_tracks_lie_beside_their_detection(mined):
    assert mined.frames[:3].tolist() == [11, 12, 13]
    labels, tracked = ([(points(row) - FACE)[0, 0] for row in range(3)] for points in (mined.label, mined.tracked))
    assert labels == pytest.approx([1, 3, 0], abs=1e-4)
    assert tracked[:2] == pytest.approx(
        [2, 3], abs=1e-4
    )  # of the consensus: as far from the label as the detection; otherwise the detector's label
    assert np.isnan(mined.tracked(2)).all()  # only the tracker learns, from the detection


@pytest.mark.parametrize("gate", Gate)
@pytest.mark.parametrize("selection", Selection)
def test_what_the_stage_writes_is_read_whole(tmp_path, selection, gate):
    tracks = [track(12, "a.0", repeats=2), track(8, "b.0")]
    tracks[1].frames[5:] += 3  # frames are missing here
    parameters = MineParameters(0.5, ThresholdKind.quantile, selection, gate, 0.3, mirror=False, workers=1)
    mine(tracks, runner(Fixed(), Noisy()), SCHEME, parameters, TRAJECTORY, round_name="r1", hashes=("d", "t"), out=tmp_path)
    mined = read_round(tmp_path, L)
    total, summary = counts(mined, everything(mined)), json.loads((tmp_path / "summary.json").read_text())
    assert total["dropped"]["follows a gap in the track"] == total["dropped"]["repeats the frame before"] == 1
    assert total["frames_seen"] == 18 == total["kept"] + sum(total["dropped"].values())
    assert 0 < total["kept"] <= 16 and summary["followed"] == (mined.reasons == FOLLOWED).sum()
    assert (summary["followed"] > 0) == (selection is Selection.trajectory)
    assert {name: total[name] for name in ("dropped", "teaches", "kept")} == {name: summary[name] for name in ("dropped", "teaches", "kept")}
    assert mined.threshold == summary["threshold"]
    truth = np.concatenate([run_track(Fixed(), Noisy(), one, temporal=True).tracked[1:] for one in tracks])
    for row in np.flatnonzero(mined.kept):
        found, passed = mined.tracked(row), np.isfinite(mined.label(row)).all(-1)
        if mined.reasons[row] == FOLLOWED:
            # The detector sees one shape everywhere, so all frames agree on it.
            np.testing.assert_allclose(mined.label(row), mined.detected[row], atol=1e-3)
            assert np.isnan(found).all()
            continue
        if mined.teaches["detector"][row]:
            np.testing.assert_allclose(found[passed], truth[row][passed], atol=1e-4)
        else:
            assert np.isnan(found).all()
        assert passed.all() == (gate is Gate.frame) or passed.mean() >= 0.3


def test_a_round_is_found_by_name_or_path(tmp_path):
    for name in ("r1", "r2"):
        (tmp_path / "pseudo" / name).mkdir(parents=True)
    assert round_folder("r2", tmp_path / "pseudo") == tmp_path / "pseudo/r2"
    assert round_folder(str(tmp_path / "pseudo/r1"), tmp_path / "nowhere") == tmp_path / "pseudo/r1"
    with pytest.raises(FileNotFoundError, match=r"no round 'r9' in .*pseudo \(there: r1, r2\).*`dvc repro mine@r9`"):
        round_folder("r9", tmp_path / "pseudo")
    with pytest.raises(FileNotFoundError, match=r"\(there: none\)"):
        round_folder("r1", tmp_path / "nowhere")


def test_the_scheme_is_that_of_the_crops(tmp_path):
    assert crops_scheme(write_crops(tmp_path)) == SCHEME
    with pytest.raises(FileNotFoundError, match=r"none/reference.json is missing: `dvc repro crop` makes it"):
        crops_scheme(tmp_path / "none")


@pytest.mark.parametrize("name", ["labels.parquet", "detections.parquet", "summary.json"])
def test_a_missing_or_damaged_file_is_named_with_its_cure(tmp_path, name):
    path = write_round(tmp_path / "r1") / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=rf"r1: .*{name}.*: `dvc repro mine@r1` restores it or makes it anew"):
        read_round(tmp_path / "r1", L)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=rf"r1/{name} is missing: `dvc repro mine@r1` restores it or makes it anew"):
        read_round(tmp_path / "r1", L)


def test_bytes_changed_inside_a_table_are_an_error(tmp_path):
    path = write_round(tmp_path / "r1") / "labels.parquet"
    content = bytearray(path.read_bytes())
    content[100:400] = bytes(300)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"`dvc repro mine@r1`"):
        read_round(tmp_path / "r1", L)


@pytest.mark.parametrize(
    ("frames", "summary", "message"),
    [
        ((*FRAMES, Frame("b.0", 5, 0.01, 0.01)), None, "1 frames have neither a label nor a reason .* the first is b.0, frame 5"),
        ((*FRAMES, Frame("b.0", 5, 0.03, 0.01, "l_det", BOTH)), None, "labels.parquet has b.0, frame 5, for 'detector', which"),
        ((*FRAMES, Frame("b.0", 5, 0.01, 0.01, "", (("student", 0.0),))), None, "frame 5, for 'student', which"),
        (FRAMES, {"threshold": THRESHOLD, "frames_seen": 9, "kept": 5}, "'kept': 4}, summary.json says otherwise"),
        (FRAMES, {"frames_seen": 9, "kept": 4}, "summary.json has no entry 'threshold'"),
    ],
)
def test_tables_that_contradict_each_other_are_an_error(tmp_path, frames, summary, message):
    write_round(tmp_path / "r1", frames, summary=summary)
    with pytest.raises(ValueError, match=rf"{message}.*: `dvc repro mine@r1` restores it or makes it anew"):
        read_round(tmp_path / "r1", L)


def test_a_round_does_not_differ_from_itself(mined):
    same = difference(mined, mined, SCHEME)
    for values in (same, *same["per_clip"].values()):
        assert not values["changed"]
        assert values["only_in_first"] == values["only_in_second"] == values["other_models_taught"] == 0
        assert values["moved_inter_pupil_mean"] == values["moved_inter_pupil_p95"] == 0
    assert same["kept_in_both"] == 4 and same["labels_compared"] == 6 and list(same["per_clip"]) == ["a.0", "b.0"]


def test_the_difference_of_two_rounds(tmp_path, mined):
    changes = {
        12: {"reason": "l_det", "teaches": ()},  # no longer kept
        13: {"teaches": BOTH},  # teaches the detector too
        15: {"reason": "", "teaches": BOTH},  # kept now
    }
    frames = tuple(replace(frame, **changes.get(frame.number, {})) for frame in FRAMES if frame.track_id == "a.0")
    second = read_round(write_round(tmp_path / "r2", (*frames, Frame("c.0", 7, 0.03, 0.01, "l_det")), shift=2.0), L)
    found = difference(mined, second, SCHEME)
    a, b, c = (found["per_clip"][name] for name in ("a.0", "b.0", "c.0"))
    assert (a["kept_in_both"], a["only_in_first"], a["only_in_second"], a["other_models_taught"]) == (2, 1, 1, 1)
    assert a["kept_share"] == {"first": 0.5, "second": 0.5}
    # Frame 11 moved by 2 px, for both roles; frame 13 by 3, for the tracker: from 0 to 1 + 2. The 95 % quantile lies at place 1.9 of 0..2.
    assert a["labels_compared"] == 3
    assert a["moved_inter_pupil_mean"] == pytest.approx(7 / 3 / D, abs=2e-6)
    assert a["moved_inter_pupil_p95"] == pytest.approx(2.9 / D, abs=2e-6)
    assert (b["kept_in_both"], b["only_in_first"], b["frames_seen"]) == (0, 1, {"first": 3, "second": 0})
    assert b["kept_share"] == {"first": 0.333333, "second": None} and b["quantiles"]["second"] == {"l_det": {}, "l_tck": {}}
    assert b["moved_inter_pupil_mean"] is None and c["frames_seen"] == {"first": 0, "second": 1}
    assert (found["kept_in_both"], found["only_in_first"], found["only_in_second"]) == (2, 2, 1)
    assert all(values["changed"] for values in (found, a, b, c))
    json.dumps(found, allow_nan=False)


def test_only_landmarks_that_both_rounds_teach_are_compared(tmp_path, mined):
    folder = write_round(tmp_path / "r2")
    labels = read_table(folder / "labels.parquet")
    labels = {name: values.copy() for name, values in labels.items()}
    labels["points_crop"][0, 0] += (0, 10.0)
    labels["points_crop"][0, 1] += (0, 500.0)
    labels["mask"][0] = np.arange(L) != 1
    labels["mask"][1] = False
    write_table(folder / "labels.parquet", labels, pseudo_labels_schema(L))
    found = difference(mined, read_round(folder, L), SCHEME)
    assert found["changed"] and found["labels_compared"] == 5
    assert found["moved_inter_pupil_mean"] == pytest.approx(10 / (L - 1) / D / 5, abs=2e-6)


def test_another_loss_is_a_change(tmp_path, mined):
    frames = tuple(replace(frame, l_tck=0.0195) if (frame.track_id, frame.number) == ("b.0", 1) else frame for frame in FRAMES)
    found = difference(mined, read_round(write_round(tmp_path / "r2", frames), L), SCHEME)
    assert found["changed"] and found["per_clip"]["b.0"]["changed"] and not found["per_clip"]["a.0"]["changed"]
