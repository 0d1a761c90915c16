"""Maps a function over clips: on the cores of this machine, or on a Dask cluster, whose scheduler STRRN_DASK_ADDRESS names.

What is computed does not depend on where. Arguments and results are small; the clips themselves reach a worker by their path, so that
the repository has to lie at the same place on all machines of a cluster (a network drive).
"""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_context
from typing import TypeVar

from strrn.core.processes import start_worker

log = logging.getLogger(__name__)
ADDRESS = "STRRN_DASK_ADDRESS"
ATTEMPTS = 3  # at one clip, whose worker was killed
WAIT_SECONDS = 60  # for a cluster's first worker
Item, Result = TypeVar("Item"), TypeVar("Result")


def map_clips(function: Callable[[Item], Result], items: Sequence[Item], workers: int) -> Iterator[Result]:
    """function(item) of every item, in their order. workers: processes on this machine; a cluster has its own number.

    function: of a module, or a functools.partial of one. Where a worker is killed in the middle, what it had is computed again.
    Raises RuntimeError where that happens ATTEMPTS times to the same clip, ValueError for a cluster that cannot be used, and what
    `function` raises.
    """
    address = os.environ.get(ADDRESS)
    return _on_cluster(address, function, items) if address else _on_this_machine(function, items, workers)


def _on_this_machine(function: Callable[[Item], Result], items: Sequence[Item], workers: int) -> Iterator[Result]:
    done, deaths = 0, 0
    while done < len(items):
        # Spawned, not forked: a fork of a process that has run torch can hang.
        pool = ProcessPoolExecutor(min(workers, len(items) - done), get_context("spawn"), initializer=start_worker)
        try:
            for result in pool.map(function, items[done:]):
                yield result
                done, deaths = done + 1, 0
        except BrokenProcessPool as error:
            deaths += 1
            if deaths == ATTEMPTS:
                raise RuntimeError(
                    f"worker processes were killed {ATTEMPTS} times at item {done + 1} of {len(items)}: is there enough memory? Lower the "
                    "number of workers in params.yaml"
                ) from error
            log.warning("a worker process was killed; going on at item %d of %d", done + 1, len(items))
        finally:
            pool.shutdown(cancel_futures=True)


def _on_cluster(address: str, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
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
            raise ValueError(
                f"the Dask scheduler at {address} has no worker: start some with `dask worker {address} --nthreads 1`"
            ) from error
        several = sorted(worker for worker, threads in client.nthreads().items() if threads > 1)
        if several:
            raise ValueError(f"Dask workers with more than one thread: {several}. Networks are not shared by threads: `--nthreads 1`")
        log.info("%d items on the %d workers of %s", len(items), len(client.nthreads()), address)
        futures = client.map(partial(_in_folder, os.getcwd(), function), items, pure=False, retries=ATTEMPTS - 1)
        try:
            for future in futures:
                yield future.result()
                future.release()
        finally:
            client.cancel(futures)


def _in_folder(folder: str, function: Callable[[Item], Result], item: Item) -> Result:
    """On a worker of the cluster: paths are meant from the folder that the pipeline runs in."""
    if os.getcwd() != folder:
        try:
            os.chdir(folder)
        except OSError as error:
            raise ValueError(f"{folder} is not there on a worker: the repository has to lie at one place on all machines") from error
    return function(item)
