"""Stage `distil`: trains the models of a round on S and on the round's pseudo-labels."""

import argparse
import logging
import multiprocessing
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from dataclasses import replace
from functools import partial

from strrn.core.processes import start_worker
from strrn.stages import logs, parallel
from strrn.stages.parameters import load_section, load_value
from strrn.stages.paths import MODELS, PSEUDO
from strrn.stages.rounds import load_round
from strrn.stages.setting import load_setting, stills_folder, unlabelled_tracks
from strrn.training.distil import DistilParameters, distil
from strrn.training.distributed import is_launched, process_group
from strrn.training.loop import LoopParameters

ROLES = "detector", "tracker"


def train(name: str, role: str) -> None:
    """Train the detector or the tracker (`role`) of the round `name`."""
    start, _ = load_round(name)
    setting = load_setting()
    parameters = load_section("distil.data", DistilParameters)
    if not load_value("temporal", bool):
        parameters = replace(parameters, unlabelled_weight=0.0)  # eq. 6 is all about pairs of frames
    distil(
        setting,
        MODELS / start / f"{role}.safetensors",
        stills_folder(),
        unlabelled_tracks(setting.reference.size),
        PSEUDO / name,
        parameters,
        load_section(f"distil.{role}", LoopParameters),
        name,
        MODELS / name / f"{role}.safetensors",
    )


def side_by_side(train: Callable[[str], None]) -> None:
    """Call train("detector") and train("tracker") at the same time, in a process each. An error of one ends the other and is raised.

    On two cores that is faster than one after the other with two threads of torch: these wait for each other whenever the thread that
    makes the samples takes a core. Processes of torchrun's share the work on one model, then on the other.
    """
    if is_launched():
        for role in ROLES:
            train(role)
        return
    context = multiprocessing.get_context("spawn")  # a fork would copy torch's threads
    with ProcessPoolExecutor(2, mp_context=context, initializer=_start_worker) as pool:
        waiting = [pool.submit(train, role) for role in ROLES]
        done, unfinished = wait(waiting, return_when=FIRST_EXCEPTION)
        if unfinished:
            logging.getLogger(__name__).info("one of the two trainings failed, the other is stopped")
            for process in multiprocessing.active_children():
                process.terminate()
        for future in done:
            future.result()


def _start_worker() -> None:
    start_worker()
    logs.set_up()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--round", required=True)
    name = parser.parse_args().round
    with process_group():
        side_by_side(partial(train, name))


if __name__ == "__main__":
    parallel.run(main, __spec__.name)
