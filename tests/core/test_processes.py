import os
import signal
import subprocess
import sys
import time

import pytest

from strrn.core.processes import start_worker

PARENT = """
import os, sys, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from strrn.core.processes import start_worker

if __name__ == "__main__":
    with ProcessPoolExecutor(1, get_context(sys.argv[1]), initializer=start_worker) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        pool.submit(time.sleep, 600).result()
"""


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_worker_ends_when_its_parent_is_killed(method, tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    with subprocess.Popen([sys.executable, str(script), method], stdout=subprocess.PIPE, text=True) as parent:
        worker = int(parent.stdout.readline())
        assert runs(worker)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    for _ in range(100):
        if not runs(worker):
            return
        time.sleep(0.1)
    os.kill(worker, signal.SIGKILL)
    pytest.fail("the worker still ran 10 s after its parent was killed")


def test_outside_of_a_pool_it_is_refused():
    with pytest.raises(RuntimeError, match="did not start"):
        start_worker()
