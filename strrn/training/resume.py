"""Where a training stands, on disk after every epoch: a run that was killed goes on there, and comes to the same weights.

A snapshot belongs to the code, the values and the data that it was made with: with any other, training starts anew.
"""

import hashlib
import logging
import shutil
from pathlib import Path

import torch

from strrn.core.environment import environment
from strrn.core.files import atomic
from strrn.data.ranks import num_ranks, rank

CODE = Path(__file__).parents[1]
FOLDER = Path(".cache/training")  # not among the outs of a stage, which DVC removes before it runs
log = logging.getLogger(__name__)


class Snapshot:
    """The file of one training, found again by what decides its result. Where several processes train, each has its own."""

    def __init__(self, what: str, *decides: object, folder: Path) -> None:
        """what: name of the training; decides: anything whose `repr` tells all that its result depends on, but for the code."""
        digest = hashlib.sha256(repr((what, decides, environment(), num_ranks())).encode())
        for file in sorted(CODE.rglob("*.py")):
            digest.update(file.read_bytes())
        self.path = folder / f"{what.replace(' ', '-')}-{digest.hexdigest()[:16]}-{rank()}.pt"

    def read(self) -> dict | None:
        """What was saved last; None where nothing was, or where it cannot be read, which is logged."""
        if not self.path.is_file():
            return None
        try:
            return torch.load(self.path, weights_only=True)
        except Exception as error:  # whatever torch says of a broken file: it is worth no more than the epochs that it saves
            log.warning("%s cannot be read, training starts anew: %s", self.path, error)
            return None

    def write(self, state: dict) -> None:
        """state: tensors, numbers and texts in dicts and lists."""
        with atomic(self.path) as temporary:
            torch.save(state, temporary)


def random_state() -> list[torch.Tensor]:
    """Of torch's generators: the CPU's, then the GPU's, where there is one."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state()] if torch.cuda.is_available() else [])]


def set_random_state(states: list[torch.Tensor]) -> None:
    torch.set_rng_state(states[0])
    if states[1:]:
        torch.cuda.set_rng_state(states[1])


def clear(folder: Path) -> None:
    """Remove the snapshots of all trainings."""
    shutil.rmtree(folder, ignore_errors=True)
