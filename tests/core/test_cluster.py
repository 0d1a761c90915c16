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


def counted(item: int, *, folder: Path) -> int:
    (folder / f"{item}.{time.monotonic_ns()}").touch()
    if item == 0:
        time.sleep(3)
    if item == 2 and len(list(folder.glob("2.*"))) == 1:
        time.sleep(0.5)
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


@pytest.mark.parametrize("where", ["here", "dask"], indirect=True)
def test_an_item_that_kills_every_worker_is_given_up_by_name(where):
    done = []
    with pytest.raises(ChildProcessError, match=r"killed 3 times at 1: is there enough memory"):
        done.extend(map_clips(always_killed, range(4), 2))


def test_what_was_done_behind_a_slow_item_is_not_done_again(tmp_path, monkeypatch):
    """Item 0 is slow, item 2 kills its worker once: item 1 runs once, and it is not item 0 that is blamed."""
    monkeypatch.delenv(ADDRESS, raising=False)
    assert list(map_clips(partial(counted, folder=tmp_path), range(4), 2)) == [0, 1, 2, 3]
    assert len(list(tmp_path.glob("1.*"))) == 1


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
