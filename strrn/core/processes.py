"""Worker processes of a pool: one for a core, none that outlives the process that started it."""

import multiprocessing
import os
import threading
from multiprocessing.connection import wait

import cv2


def num_workers(asked: int) -> int:
    """`asked`, or for 0 one for every core that this process may use."""
    if asked:
        return asked
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def start_worker() -> None:
    """The initializer of a pool's processes.

    The worker ends when its parent does, also when that was killed: it would take the processor and write over the next run's results.
    OpenCV gets one thread, because threads of several processes on the same cores get in each other's way.
    """
    cv2.setNumThreads(1)
    parent = multiprocessing.parent_process()
    if parent is None:
        raise RuntimeError("start_worker was called in a process that multiprocessing did not start")

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, name="end with parent", daemon=True).start()
