"""One flow at a time in a checkout: two would change params.yaml, dvc.lock or the commit under each other."""

import fcntl
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

LOCK = Path(".dvc/tmp/flow.lock")  # git ignores that folder
P, R = ParamSpec("P"), TypeVar("R")

held = False  # by this process: the flow `ingest` calls the flow `train`


def alone(function: Callable[P, R]) -> Callable[P, R]:
    """The function, which raises RuntimeError while another process is in one of these functions in the same folder.

    The lock is the operating system's: it ends with the process, however that ends.
    """

    @functools.wraps(function)
    def locked(*arguments: P.args, **options: P.kwargs) -> R:
        global held
        if held:
            return function(*arguments, **options)
        LOCK.parent.mkdir(parents=True, exist_ok=True)
        with LOCK.open("a+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                file.seek(0)
                raise RuntimeError(f"{file.read() or 'another flow'} is at work in {Path.cwd()}: wait for its end, or cancel it") from error
            file.truncate(0)
            file.write(f"the flow {function.__name__} (process {os.getpid()})")
            file.flush()
            held = True
            try:
                return function(*arguments, **options)
            finally:
                held = False

    return locked
