import logging
import sys

import pytest
import torch

from strrn.stages import parallel
from strrn.training.distributed import device, process_group


@pytest.fixture
def started(monkeypatch):
    """What replaced this process, if anything did."""
    commands = []
    monkeypatch.setattr("strrn.stages.parallel.os.execv", lambda path, arguments: commands.append([path, *arguments]))
    monkeypatch.setattr("strrn.stages.parallel.logs.run", lambda main, level: commands.append((main, level)))
    monkeypatch.setattr(sys, "argv", ["distil.py", "--round", "r1"])
    return commands


def test_several_gpus_are_used_by_a_process_each(started, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    parallel.run(print, "strrn.stages.distil")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "3"]
    assert started[0] == [sys.executable, *torchrun, "-m", "strrn.stages.distil", "--round", "r1"]


@pytest.mark.parametrize("gpus", [0, 1])
def test_one_gpu_or_none_is_this_process(started, monkeypatch, gpus):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    parallel.run(print, "strrn.stages.distil")
    assert started == [(print, logging.INFO)]


def test_a_process_of_torchrun_starts_no_other(started, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost"}.items():
        monkeypatch.setenv(name, value)
    parallel.run(print, "strrn.stages.distil")
    assert started == [(print, logging.WARNING)]


def test_more_processes_than_gpus_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for name, value in {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "localhost"}.items():
        monkeypatch.setenv(name, value)
    assert device() == torch.device("cuda", 1)
    with pytest.raises(ValueError, match=r"2 processes and 1 GPUs on this host: start at most one a GPU"), process_group():
        pass
