"""Runs a command in a process group of its own, and ends the whole group when the caller stops for whatever reason."""

import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

TAIL_LINES = 20
GRACE_SECONDS = 10.0


running: set[subprocess.Popen] = set()  # of all threads
stopping = False  # the flow is being cancelled, and starts nothing any more


class CommandError(RuntimeError):
    """The command exited with another status than 0. The message ends with the last lines that it wrote."""


def run(
    command: Sequence[str], on_line: Callable[[str], None], environment: Mapping[str, str] | None = None, folder: str | None = None
) -> list[str]:
    """Run the command and hand every line that it writes (stdout and stderr together) to `on_line`. Returns all lines.

    The group, with children and grandchildren, is ended (SIGTERM, after ten seconds SIGKILL) when this call is left by an exception:
    a cancelled flow, Ctrl-C, an error of `on_line`. It is killed as well when this process dies without a word (SIGKILL).
    Raises CommandError for an exit status other than 0, and after `end_all`.
    """
    refuse_when_stopping(command)
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment,
        cwd=folder,
        start_new_session=True,
    )
    lines = []
    running.add(process)
    with _killed_with_this_process(process.pid), process.stdout:
        try:
            for line in process.stdout:
                lines.append(line.rstrip())
                on_line(lines[-1])
            status = process.wait()
        except BaseException:  # a cancelled flow raises TerminationSignal, which is no Exception
            end_groups(process)
            raise
        finally:
            running.discard(process)
    if status != 0:
        tail = deque((line for line in lines if line), TAIL_LINES)
        raise CommandError(f"`{' '.join(command)}` failed with exit status {status}; its last lines:\n" + "\n".join(tail))
    return lines


def end_groups(*processes: subprocess.Popen, grace_seconds: float = GRACE_SECONDS) -> None:
    """SIGTERM to the groups of the processes, to all at once, and SIGKILL to what is left of them after the grace."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
        deadline = time.monotonic() + grace_seconds
        while time.monotonic() < deadline and any(map(_group_lives, processes)):
            time.sleep(0.05)
    for process in processes:
        process.wait()


def end_all() -> None:
    """End the groups of all commands that run in other threads, whose `run` raises CommandError, as it does from now until `begin`."""
    global stopping
    stopping = True
    end_groups(*list(running))


def begin() -> None:
    """Commands may start (again, where an earlier flow of this process was cancelled)."""
    global stopping
    stopping = False


def refuse_when_stopping(command: Sequence[str]) -> None:
    if stopping:
        raise CommandError(f"`{' '.join(command)}` was not started: the flow is being cancelled")


def _group_lives(process: subprocess.Popen) -> bool:
    process.poll()  # a leader that nobody waits for would keep its group alive
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return False
    return True


@contextmanager
def _killed_with_this_process(group: int) -> Iterator[None]:
    """A shell that waits for the end of its stdin, which comes when this process dies, and then kills the group."""
    watchdog = subprocess.Popen(["sh", "-c", f"read -r _; kill -KILL -{group}"], stdin=subprocess.PIPE, start_new_session=True)
    try:
        yield
    finally:
        watchdog.kill()
        watchdog.wait()
        watchdog.stdin.close()
