"""Where a flow's commands run: on this machine, or on a worker of the Dask cluster that STRRN_DASK_ADDRESS names.

On a cluster, the working folder, the Python environment and all paths of a command have to lie at the same place on every machine.
"""

import os
import sys
import threading
from collections.abc import Callable, Sequence

from flows import process_group
from strrn.core.cluster import ADDRESS, WAIT_SECONDS

POLL_SECONDS = 0.5  # in which a worker asks itself whether its command is still wanted

running: set = set()  # futures of all threads


def run(command: Sequence[str], on_line: Callable[[str], None]) -> None:
    """`process_group.run`; on a cluster the lines come when the command has ended, and a command whose worker was killed runs again on
    another. It ends on its worker as well when this process dies. Raises CommandError as there, OSError where no scheduler answers,
    TimeoutError where it has no worker."""
    address = os.environ.get(ADDRESS)
    if not address:
        process_group.run(command, on_line)
        return
    import cloudpickle
    from distributed import Client
    from distributed.client import FutureCancelledError

    # The workers may have been started in another folder.
    for module in (process_group, sys.modules[__name__]):
        cloudpickle.register_pickle_by_value(module)
    with Client(address, set_as_default=False) as client:
        client.wait_for_workers(1, timeout=WAIT_SECONDS)
        process_group.refuse_when_stopping(command)
        future = client.submit(_on_worker, list(command), os.getcwd(), pure=False)
        running.add(future)
        try:
            lines, error = future.result()
        except FutureCancelledError as cancelled:
            raise process_group.CommandError(f"`{' '.join(command)}` was cancelled, on the cluster too") from cancelled
        finally:
            running.discard(future)
    for line in lines:
        on_line(line)
    if error:
        raise process_group.CommandError(error)


def end_all() -> None:
    """End the commands of all threads, here and on the cluster: their `run` raises CommandError."""
    process_group.end_all()
    for future in list(running):
        future.cancel()


def _on_worker(command: list[str], folder: str) -> tuple[list[str], str]:
    """The command's lines, and what went wrong."""
    lines: list[str] = []
    over = threading.Event()
    watch = threading.Thread(target=_end_when_unwanted, args=(*_this_task(), over), daemon=True)
    watch.start()
    try:
        process_group.run(command, lines.append, folder=folder)
    except process_group.CommandError as error:
        return lines, str(error)
    finally:
        over.set()
        watch.join()
    return lines, ""


def _this_task() -> tuple:
    from distributed import get_worker

    worker = get_worker()
    return worker, worker.get_current_task()


def _end_when_unwanted(worker: object, key: str, over: threading.Event) -> None:
    """Dask leaves a cancelled task's thread running; its state says that nobody waits for it: cancelled, or its client is gone."""
    while not over.wait(POLL_SECONDS):
        task = worker.state.tasks.get(key)
        if task is None or task.state == "cancelled":
            process_group.end_all()  # this module came with the task: it knows of no other command
            return
