"""The models with 8-bit weights in their fully connected layers, and what that costs.

    python -m benchmarks.int8 --out DIR        # writes DIR/tracker.onnx and detector.onnx; `strrn track --models DIR` runs them
    strrn bench my.mp4 --models DIR            # their speed

onnxruntime's dynamic quantization: activations are quantized as they come. Printed are error, jitter and lag of both pairs on the
rendered test clips of `dvc repro render`, by the code that scores the rounds, and the size of the files.
"""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from rich.console import Console
from rich.table import Table

from benchmarks.peer_videos import ours, rendered_scores
from strrn.core.landmarks import load_scheme
from strrn.core.model_files import DETECTOR_FILE, TRACKER_FILE, default_models
from strrn.evaluation.clips import DATASETS
from strrn.stages import logs


def plain(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same model as the quantizer understands it: weights in float32, a matrix product and a sum for every Gemm (weights that several
    of them share would be transposed once for each)."""
    graph = model.graph
    weights = {weight.name: weight for weight in graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type == "Cast" and node.input[0] in weights:
            wide = numpy_helper.from_array(numpy_helper.to_array(weights[node.input[0]]).astype(np.float32), node.output[0])
            weights[wide.name] = wide
        elif node.op_type == "Gemm" and node.input[1] in weights:
            matrix, *bias = node.input[1:]
            if any(attribute.name == "transB" and attribute.i for attribute in node.attribute):
                turned = np.ascontiguousarray(numpy_helper.to_array(weights[matrix]).T)
                matrix = f"{matrix}_turned"
                weights[matrix] = numpy_helper.from_array(turned, matrix)
            product = f"{node.output[0]}_product" if bias else node.output[0]
            nodes.append(helper.make_node("MatMul", [node.input[0], matrix], [product], name=f"{node.name}_product"))
            if bias:
                nodes.append(helper.make_node("Add", [product, *bias], list(node.output), name=f"{node.name}_sum"))
        else:
            nodes.append(node)
    used = {name for node in nodes for name in node.input}
    del graph.node[:], graph.value_info[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(weight for name, weight in weights.items() if name in used)
    return model


def quantize(source: Path, out: Path) -> None:
    """Write the model at `source` with 8-bit weights to `out`, with the same metadata."""
    model = plain(onnx.load(source))
    logging.disable(logging.WARNING)  # of tensors that need no quantization, one by one
    quantize_dynamic(
        model,
        out,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=["MatMul"],
        extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
    )
    logging.disable(logging.NOTSET)
    small = onnx.load(out)
    del small.metadata_props[:]
    small.metadata_props.extend(model.metadata_props)
    onnx.save(small, out)


def costs(folders: Sequence[Path], rendered: Path) -> Table:
    """A row for each pair of models and kind of test clip."""
    scheme = load_scheme("ibug68")
    table = Table("models", "MB", "clips", "error %", "jitter %", "lag, frames")
    for folder in folders:
        size = sum((folder / name).stat().st_size for name in (TRACKER_FILE, DETECTOR_FILE)) / 1e6
        for dataset in DATASETS.values():
            scores = rendered_scores(rendered, dataset, str(folder), lambda folder=folder: ours(folder), scheme)
            figures = 100 * scores["nme_inter_ocular"], 100 * scores["residual_jitter"], scores["lag_e1"]
            table.add_row(str(folder), f"{size:.1f}", dataset, *(f"{figure:.3f}" for figure in figures))
    return table


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, help="folder with tracker.onnx and detector.onnx (default: those that `strrn track` takes)")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--rendered", type=Path, default=Path("data/rendered"), help="of `dvc repro render` (default: %(default)s)")
    options = parser.parse_args(arguments)
    models = options.models or default_models()
    if options.out.resolve() == models.resolve():
        parser.error(f"--out is the folder of the models, {models}: name another")
    options.out.mkdir(parents=True, exist_ok=True)
    for name in (TRACKER_FILE, DETECTOR_FILE):
        quantize(models / name, options.out / name)
    Console(width=120).print(costs([models, options.out], options.rendered))


if __name__ == "__main__":
    logs.run(main)
