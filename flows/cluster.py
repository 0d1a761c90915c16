"""Where a flow's commands run: on this machine, or on a worker of the Dask cluster that STRRN_DASK_ADDRESS names.

On a cluster, the working folder, the Python environment and all paths of a command have to lie at the same place on every machine.
"""

import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from flows import process_group
from strrn.core.cluster import ADDRESS, connected

if TYPE_CHECKING:
    from distributed import Client

POLL_SECONDS = 0.5  # in which a worker asks itself whether its command is still wanted

running: set = set()  # futures of all threads
_client: "Client | None" = None  # of the cluster that is open


@contextmanager
def opened() -> Iterator[None]:
    """Commands may run: here, or on the cluster, which is looked at before any of them. Raises ValueError for one that cannot be used."""
    global _client
    process_group.begin()
    address = os.environ.get(ADDRESS)
    if not address:
        yield
        return
    with connected(address) as client:
        _client = client
        try:
            yield
        finally:
            _client = None


def run(command: Sequence[str], on_line: Callable[[str], None]) -> None:
    """`process_group.run`, while this is `opened`; on a cluster the lines come when the command has ended, and a command whose worker was
    killed runs again on another. It ends on its worker as well when this process dies. Raises CommandError as there."""
    if _client is None:
        process_group.run(command, on_line)
        return
    import cloudpickle
    from distributed.client import FutureCancelledError

    # The workers may have been started in another folder, where there is no `flows`.
    for module in (process_group, sys.modules[__name__]):
        cloudpickle.register_pickle_by_value(module)
    process_group.refuse_when_stopping(command)
    arguments = list(command), os.getcwd()
    # Dask hands a function with a name to `pickle`, which sends the name alone; one without to cloudpickle, which sends the modules. So
    # every task has modules of its own on its worker: nobody else's commands, and nothing of a flow that was cancelled.
    future = _client.submit(lambda: _on_worker(*arguments), pure=False)
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
            process_group.end_all()  # the module came with the task, and knows of no other command
            return
