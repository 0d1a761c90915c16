"""Where a flow's commands run: on this machine, or on a worker of the Dask cluster that STRRN_DASK_ADDRESS names.

On a cluster, the working folder, the Python environment and all paths of a command have to lie at the same place on every machine.
"""

import os
import sys
from collections.abc import Callable, Sequence

from flows import process_group

ADDRESS = "STRRN_DASK_ADDRESS"
WAIT_SECONDS = 60  # for a cluster's first worker


def run(command: Sequence[str], on_line: Callable[[str], None]) -> None:
    """`process_group.run`; on a cluster the lines come when the command has ended, and a command whose worker was killed runs again on
    another. A cancelled flow does not end what runs on a cluster. Raises CommandError as there, OSError where
    no scheduler answers, TimeoutError where it has no worker."""
    address = os.environ.get(ADDRESS)
    if not address:
        process_group.run(command, on_line)
        return
    import cloudpickle
    from distributed import Client

    # The workers may have been started in another folder.
    for module in (process_group, sys.modules[__name__]):
        cloudpickle.register_pickle_by_value(module)
    with Client(address, set_as_default=False) as client:
        client.wait_for_workers(1, timeout=WAIT_SECONDS)
        lines, error = client.submit(_on_worker, list(command), os.getcwd(), pure=False).result()
    for line in lines:
        on_line(line)
    if error:
        raise process_group.CommandError(error)


def _on_worker(command: list[str], folder: str) -> tuple[list[str], str]:
    """The command's lines, and what went wrong."""
    lines: list[str] = []
    try:
        process_group.run(command, lines.append, folder=folder)
    except process_group.CommandError as error:
        return lines, str(error)
    return lines, ""
