"""Stage `align`: the labels of the stills as semantic alignment (SA) finds them, in the place of those that were annotated.

`annotated` has the labels with the noise of `sa.noise` (none: as they are), `searched` what SA makes of these; each is a folder that
`stills` may name. Labels of validation are those of `annotated` in both.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from strrn.core.files import write_json
from strrn.core.landmarks import LandmarkScheme
from strrn.core.tables import read_table, still_crops_schema, write_table
from strrn.data.datasets import LabelledCrops
from strrn.data.label_noise import ContourNoiseParameters
from strrn.methods.semantic import SearchParameters
from strrn.models.parameters import HGNParameters, as_dict
from strrn.stages import parallel
from strrn.stages.parameters import load_section
from strrn.stages.paths import CROPS
from strrn.stages.setting import load_setting
from strrn.training.distributed import is_first, process_group
from strrn.training.loop import LoopParameters
from strrn.training.sa import LABELS_FILE, SAParameters, Task, align

ALIGNED = Path("data/aligned/sa")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, choices=[ALIGNED.name])
    parser.parse_args()
    task = load_task()
    with process_group():
        found = align(task)
        first = is_first()
    if not first:
        return
    write("train", {"annotated": found.annotated, "searched": found.labels}, task.setting.scheme, found.rows)
    write("val", dict.fromkeys(("annotated", "searched"), found.held_out), task.setting.scheme)
    write_json(ALIGNED / LABELS_FILE, found.measured)


def load_task() -> Task:
    """SA on the stills of data/crops, as section `sa` says."""
    setting = load_setting()
    return Task(
        setting,
        setting.header("hgn", as_dict(load_section("hgn", HGNParameters)), "sa", {}),
        CROPS,
        load_section("sa.data", SAParameters),
        load_section("sa.noise", ContourNoiseParameters),
        load_section("sa.search", SearchParameters),
        load_section("sa.start", LoopParameters),
        load_section("sa.detector", LoopParameters),
    )


def write(split: str, versions: Mapping[str, LabelledCrops], scheme: LandmarkScheme, rows: np.ndarray | None = None) -> None:
    """The crops of a split (rows: of them, where they are not all) with other labels, below `ALIGNED`/name for each of the versions."""
    schema = still_crops_schema(scheme.num_landmarks)
    columns = read_table(CROPS / f"stills_{split}.parquet", schema)
    if rows is not None:
        columns = {key: values[rows] for key, values in columns.items()}
    for name, labels in versions.items():
        path = ALIGNED / name / f"stills_{split}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_table(path, columns | {"points_crop": labels.points, "valid": labels.valid}, schema)


if __name__ == "__main__":
    parallel.run(main, __spec__.name)
