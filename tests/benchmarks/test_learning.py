from types import SimpleNamespace

import pytest
import torch
from torch import nn

from benchmarks.learning import COMPUTING, UPDATING, WAITING, WARM, Watch, chosen, learning, loader_alone, main, mining
from strrn.data.datasets import load_still_crops
from tests.models.small import header
from tests.training.material import loop, setting, write_stills, write_track


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until somebody moves it."""
    now = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr("benchmarks.learning.time.perf_counter", lambda: now.seconds)
    return now


def test_every_second_of_a_step_has_its_part_and_the_first_batches_none(clock):
    def batches():
        for seconds in (50, 1, 1):
            clock.seconds += seconds
            yield {}

    watch = Watch(warm=1)
    for _ in watch.over(batches()):
        clock.seconds += 3
        watch.read(COMPUTING)
        clock.seconds += 0.5
    assert watch.seconds == {WAITING: 2, COMPUTING: 6, UPDATING: 1}


def test_the_tracker_learns_from_a_view_in_every_frame_of_its_video(tmp_path, monkeypatch, clock):
    """A step takes a second, whatever is in it; so 4 new views a second."""
    write_stills(tmp_path)
    crops = load_still_crops(tmp_path / "stills_train.parquet", 68)

    def slow(values, *_, original=nn.utils.clip_grad_norm_, **keywords):
        clock.seconds += 1
        return original(values, *_, **keywords)

    monkeypatch.setattr("strrn.training.loop.nn.utils.clip_grad_norm_", slow)
    monkeypatch.setattr("benchmarks.learning.loader_alone", lambda loader: len(loader))
    speed = learning(setting(), header("strrn"), crops, loop(), 3)
    assert (speed.new, speed.samples, speed.alone) == (pytest.approx(4), pytest.approx(12), WARM + 3)
    assert speed.shares == {WAITING: 0, COMPUTING: pytest.approx(1), UPDATING: 0}
    assert learning(setting(), header("mdm"), crops, loop(), 3).samples == pytest.approx(4)


def test_the_loader_is_measured_by_its_views(clock):
    def batches():
        for count in (4, 2):
            clock.seconds += 0.25
            yield {"images": torch.zeros(count, 1)}

    assert loader_alone(batches()) == pytest.approx(12)


def test_the_shortest_tracks_are_mined_and_the_start_of_the_processes_is_not_counted(tmp_path, monkeypatch, clock):
    monkeypatch.setattr("benchmarks.learning.CROPS", tmp_path)
    rows = []
    for name, length in (("a", 30), ("b", 10), ("c", 20), ("d", 10), ("e", 10)):
        write_track(tmp_path / f"{name}.parquet", length)
        rows.append({"track_id": name, "path": f"{name}.parquet"})
    tracks = chosen(rows, 45)
    assert [(row["track_id"], length) for row, length in tracks] == [("b", 10), ("d", 10), ("e", 10), ("c", 20)]

    def map_clips(run, part, workers):
        clock.seconds += 7 + len(part) * 0.5  # 7 s of start
        return map(run, part)

    monkeypatch.setattr("benchmarks.learning.map_clips", map_clips)
    assert mining(lambda row: None, tracks, 2) == pytest.approx(30 / 1.0)
    with pytest.raises(ValueError, match=r"3 tracks for 2 processes: ask for more --frames"):
        mining(lambda row: None, tracks[:3], 2)


def test_unknown_networks_are_refused():
    with pytest.raises(ValueError, match=r"networks are mdm, hgn, strrn, .* found \['sdm'\]"):
        main(["sdm", "mdm"])
