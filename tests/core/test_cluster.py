"""Clips are mapped over processes and over a Dask cluster; either loses nothing when a worker is killed."""

import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest
from distributed import LocalCluster

from strrn.core.cluster import ADDRESS, map_clips


def square(item: int) -> int:
    return item * item


def killed_once(item: int, *, folder: Path) -> tuple[int, str]:
    """Its process is killed at item 2, the first time."""
    marker = folder / "killed"
    if item == 2 and not marker.exists():
        marker.touch()
        time.sleep(0.3)  # the others have something to do meanwhile
        os.kill(os.getpid(), signal.SIGKILL)
    return item, os.getcwd()


def always_killed(item: int) -> int:
    if item == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def refuses(item: int) -> int:
    raise ValueError(f"item {item} is no good")


def cluster(threads: int = 1, workers: int = 2) -> LocalCluster:
    return LocalCluster(n_workers=workers, threads_per_worker=threads, dashboard_address=":0", host="127.0.0.1")


@pytest.fixture(scope="module")
def running():
    with cluster() as started:
        yield started


@pytest.fixture(params=["here", "dask"])
def where(request, monkeypatch):
    if request.param == "dask":
        monkeypatch.setenv(ADDRESS, request.getfixturevalue("running").scheduler_address)
    else:
        monkeypatch.delenv(ADDRESS, raising=False)
    return request.param


def test_results_come_in_order(where):
    assert list(map_clips(square, range(9), 2)) == [item * item for item in range(9)]
    assert list(map_clips(square, [], 2)) == []


def test_a_killed_worker_loses_nothing(where, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the workers of a cluster were started elsewhere
    results = list(map_clips(partial(killed_once, folder=tmp_path), range(6), 2))
    assert (tmp_path / "killed").exists()
    assert [item for item, _ in results] == list(range(6)) and {folder for _, folder in results} == {str(tmp_path)}


def test_what_the_function_raises_arrives(where):
    with pytest.raises(ValueError, match="item 3 is no good"):
        list(map_clips(refuses, [3], 1))


def test_an_item_that_kills_every_worker_is_given_up(monkeypatch):
    monkeypatch.delenv(ADDRESS, raising=False)
    with pytest.raises(RuntimeError, match="killed 3 times at item 2 of 3: is there enough memory"):
        list(map_clips(always_killed, range(3), 1))


def test_a_scheduler_that_does_not_answer(monkeypatch):
    monkeypatch.setenv(ADDRESS, "tcp://127.0.0.1:1")
    monkeypatch.setenv("DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT", "1s")
    import dask

    with dask.config.set({"distributed.comm.timeouts.connect": "1s"}), pytest.raises(ValueError, match="no Dask scheduler answers at"):
        list(map_clips(square, [1], 1))


def test_workers_with_threads_are_refused(monkeypatch):
    with cluster(threads=2, workers=1) as several:
        monkeypatch.setenv(ADDRESS, several.scheduler_address)
        with pytest.raises(ValueError, match=r"more than one thread.*--nthreads 1"):
            list(map_clips(square, [1], 1))
