"""Maps a function over clips: on the cores of this machine, or on a Dask cluster, whose scheduler STRRN_DASK_ADDRESS names.

What is computed does not depend on where. Arguments and results are small; the clips themselves reach a worker by their path, so that
the repository has to lie at the same place on all machines of a cluster (a network drive).
"""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from typing import TYPE_CHECKING, TypeVar

import cv2

from strrn.core.processes import start_worker

if TYPE_CHECKING:
    from distributed import Client

log = logging.getLogger(__name__)
ADDRESS = "STRRN_DASK_ADDRESS"
ATTEMPTS = 3  # at one clip, whose worker was killed
WAIT_SECONDS = 60  # for a cluster's first worker
NAME_LENGTH = 200
Item, Result = TypeVar("Item"), TypeVar("Result")


def map_clips(function: Callable[[Item], Result], items: Sequence[Item], workers: int) -> Iterator[Result]:
    """function(item) of every item, in their order. workers: processes on this machine; a cluster has its own number.

    function: of a module that can be imported, or a functools.partial of one. Where a worker is killed in the middle, what it had is
    computed again. Raises ChildProcessError, with the item, where that happens again and again to the same one, ValueError for a cluster
    that cannot be used, and what `function` raises.
    """
    address = os.environ.get(ADDRESS)
    return _on_cluster(address, function, items) if address else _on_this_machine(function, items, workers)


def _on_this_machine(function: Callable[[Item], Result], items: Sequence[Item], workers: int) -> Iterator[Result]:
    results: dict[int, Result] = {}  # of what came before its turn, or had to be done alone
    shown = 0
    while missing := [number for number in range(shown, len(items)) if number not in results]:
        with _pool(min(workers, len(missing))) as pool:
            futures = {number: pool.submit(function, items[number]) for number in missing}
            try:
                while shown < len(items):
                    result = results.pop(shown) if shown in results else futures.pop(shown).result()
                    yield result
                    shown += 1
                return
            except BrokenProcessPool:
                wait(futures.values())
                results |= {number: future.result() for number, future in futures.items() if future.exception() is None}
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        # The pool hands the items out in their order: the one whose worker was killed is among the first that are left.
        suspects = [number for number in missing if number >= shown and number not in results][:workers]
        log.warning("a worker process was killed; %d of %d items are done again, each alone", len(suspects), len(items))
        for number in suspects:
            results[number] = _alone(function, items[number])
    yield from (results[number] for number in range(shown, len(items)))


def _pool(workers: int) -> ProcessPoolExecutor:
    # Spawned, not forked: a fork of a process that has run torch can hang.
    return ProcessPoolExecutor(workers, get_context("spawn"), initializer=start_worker)


def _alone(function: Callable[[Item], Result], item: Item) -> Result:
    for _ in range(ATTEMPTS - 1):
        with _pool(1) as pool:
            try:
                return pool.submit(function, item).result()
            except BrokenProcessPool:
                log.warning("a worker process was killed at %s", str(item)[:NAME_LENGTH])
    raise ChildProcessError(_killed(item))


def _killed(item: object) -> str:
    return (
        f"worker processes were killed {ATTEMPTS} times at {str(item)[:NAME_LENGTH]}: is there enough memory? If so, its video may crash "
        "the decoder: leave it out, or convert it to MP4"
    )


@contextmanager
def connected(address: str) -> "Iterator[Client]":
    """A client of the Dask cluster whose scheduler is at the address. Raises ValueError for one that cannot be used."""
    try:
        from distributed import Client
    except ImportError as error:
        raise ValueError(f"{ADDRESS} is set, but Dask is not installed: pip install 'strrn[cluster]', or unset it") from error
    try:
        client = Client(address, direct_to_workers=True, set_as_default=False)
    except OSError as error:
        raise ValueError(f"no Dask scheduler answers at {address} ({ADDRESS}): start it with `dask scheduler`, or unset it") from error
    with client:
        try:
            client.wait_for_workers(1, timeout=WAIT_SECONDS)
        except TimeoutError as error:
            raise ValueError(f"the Dask scheduler at {address} has no worker: `dask worker {address} --nthreads 1`") from error
        several = sorted(worker for worker, threads in client.nthreads().items() if threads > 1)
        if several:
            raise ValueError(f"Dask workers with more than one thread: {several}. Networks are not shared by threads: `--nthreads 1`")
        yield client


def _on_cluster(address: str, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    with connected(address) as client:
        from distributed import KilledWorker

        log.info("%d items on the %d workers of %s", len(items), len(client.nthreads()), address)
        futures = client.map(partial(_in_folder, os.getcwd(), function), items, pure=False)
        try:
            for item, future in zip(items, futures, strict=True):
                try:
                    yield future.result()
                except KilledWorker as error:  # after as many deaths as Dask's own `allowed-failures` says
                    raise ChildProcessError(_killed(item)) from error
                future.release()
        finally:
            client.cancel(futures)


def _in_folder(folder: str, function: Callable[[Item], Result], item: Item) -> Result:
    """On a worker of the cluster: paths are meant from the folder that the pipeline runs in, and a worker has one core."""
    cv2.setNumThreads(1)
    if os.getcwd() != folder:
        try:
            os.chdir(folder)
        except OSError as error:
            raise ValueError(f"{folder} is not there on a worker: the repository has to lie at one place on all machines") from error
    return function(item)
