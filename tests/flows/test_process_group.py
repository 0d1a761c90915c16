import os
import signal
import subprocess
import sys
import threading

import pytest

from flows import process_group
from tests.flows.conftest import ROOT, alive, assert_ends

# A child of the command starts a grandchild, tells its process id and waits for it.
GRANDCHILD = ["sh", "-c", "sh -c 'sleep 300 & echo $!; wait' & wait"]


def test_lines_of_both_streams_are_handed_on() -> None:
    seen = []
    lines = process_group.run(["sh", "-c", "echo one; echo two >&2; printf three"], seen.append)
    assert seen == lines == ["one", "two", "three"]


def test_failure_names_the_command_the_status_and_the_last_lines() -> None:
    with pytest.raises(process_group.CommandError) as caught:
        process_group.run(["sh", "-c", "for i in $(seq 30); do echo line $i; done; exit 3"], lambda line: None)
    message = str(caught.value)
    assert message.startswith("`sh -c ") and "exit status 3" in message
    assert message.endswith("line 29\nline 30") and "line 11\n" in message and "line 10\n" not in message


def test_environment_is_the_given_one() -> None:
    assert process_group.run(["sh", "-c", "echo $COLOUR"], lambda line: None, os.environ | {"COLOUR": "blue"}) == ["blue"]


def test_an_exception_ends_the_grandchildren() -> None:
    class Cancelled(BaseException):
        pass

    pids = []

    def cancel(line: str) -> None:
        pids.append(int(line))
        assert alive(pids[0])
        raise Cancelled

    with pytest.raises(Cancelled):
        process_group.run(GRANDCHILD, cancel)
    assert_ends(pids[0], 0.5)


def test_a_group_that_ignores_sigterm_is_killed() -> None:
    process = subprocess.Popen(["sh", "-c", "trap '' TERM; echo ready; sleep 300"], stdout=subprocess.PIPE, start_new_session=True)
    with process.stdout:
        process.stdout.readline()
        process_group.end_groups(process, grace_seconds=0.2)
    assert process.returncode == -signal.SIGKILL


def test_the_death_of_the_caller_kills_the_grandchildren() -> None:
    code = f"from flows import process_group; process_group.run({GRANDCHILD!r}, lambda line: print(line, flush=True))"
    caller = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    with caller.stdout:
        pid = int(caller.stdout.readline())
        assert alive(pid)
        caller.kill()
        caller.wait()
        assert_ends(pid)


def test_all_commands_of_other_threads_can_be_ended():
    started, ended = threading.Event(), []

    def work() -> None:
        try:
            process_group.run(["sh", "-c", "echo here; sleep 300"], lambda line: started.set())
        except process_group.CommandError as error:
            ended.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    assert started.wait(20)
    process_group.end_all()
    thread.join(20)
    assert not thread.is_alive() and "here" in ended[0] and not process_group.running
    with pytest.raises(process_group.CommandError, match="`true` was not started: the flow is being cancelled"):
        process_group.run(["true"], lambda line: None)
    process_group.begin()
    assert process_group.run(["echo", "again"], lambda line: None) == ["again"]
