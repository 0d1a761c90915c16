"""Starts a training stage: as it is, as one of torchrun's processes, or as one process for every GPU of this machine."""

import logging
import os
import sys
from collections.abc import Callable

import torch

from strrn.stages import logs
from strrn.training.distributed import is_launched


def run(main: Callable[[], None], module: str) -> None:
    """`logs.run(main)`; `main` trains inside of `process_group()`. Of several processes the first one alone tells what goes on.

    module: the stage's name for `python -m`. On a machine with several GPUs this process becomes torchrun, which starts it once a GPU.
    """
    if not is_launched() and torch.cuda.device_count() > 1:
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(torch.cuda.device_count())]
        os.execv(sys.executable, [sys.executable, *launcher, "-m", module, *sys.argv[1:]])

    logs.run(main, logging.WARNING if int(os.environ.get("RANK", 0)) else logging.INFO)
