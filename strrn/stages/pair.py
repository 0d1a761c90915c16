"""The detector and the tracker train side by side, a process each.

On two cores that is faster than one after the other with two threads of torch: these wait for each other whenever the thread that makes the
samples takes a core.
"""

import logging
import multiprocessing
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait

from strrn.core.processes import start_worker
from strrn.stages import logs


def _start_worker() -> None:
    start_worker()
    logs.set_up()


def side_by_side(train: Callable[[str], None]) -> None:
    """Call train("detector") and train("tracker") at the same time. An error of one ends the other and is raised."""
    context = multiprocessing.get_context("spawn")  # a fork would copy torch's threads
    with ProcessPoolExecutor(2, mp_context=context, initializer=_start_worker) as pool:
        waiting = [pool.submit(train, role) for role in ("detector", "tracker")]
        done, unfinished = wait(waiting, return_when=FIRST_EXCEPTION)
        if unfinished:
            logging.getLogger(__name__).info("one of the two trainings failed, the other is stopped")
            for process in multiprocessing.active_children():
                process.terminate()
        for future in done:
            future.result()
