"""The networks themselves through ONNX: the same points, for one crop and for several."""

import numpy as np
import onnx
import pytest
import torch

from strrn.models import export
from strrn.models.export import OPSET, export_detector, export_tracker, parity
from strrn.runtime.models import open_model
from tests.models import small
from tests.runtime import tiny

PATCHES_ONLY = {"geometry": "none", "shape_prior": False}


@pytest.mark.parametrize(
    ("name", "changes"), [("mdm", {}), ("hgn", {}), ("strrn", {}), ("strrn", PATCHES_ONLY), ("strrn", {"appearance_memory": True})]
)
def test_onnx_gives_the_networks_points(name, changes, tmp_path):
    network = small.build(name, **changes).eval()
    # Untrained last layers are almost zero: displacements of some pixels, as a trained network has.
    for parameter_name, parameter in network.named_parameters():
        if parameter_name in ("temporal.2.weight",) or ("displacement" in parameter_name and parameter.ndim > 1):
            torch.nn.init.normal_(parameter, std=0.1)
    generator = np.random.default_rng(2)
    metadata = {**tiny.METADATA, **{key: small.header(name)[key] for key in ("scheme", "reference_shape", "size")}}
    crops = generator.integers(0, 256, (3, small.SIZE, small.SIZE, 3), np.uint8)
    if name == "strrn":
        starts = (small.reference_shape() + generator.normal(0, 2, (3, 68, 2))).astype(np.float32)
        export_tracker(network, tmp_path / "model.onnx", metadata)
    else:
        starts = None
        export_detector(network, tmp_path / "model.onnx", metadata)
    session, info = open_model(tmp_path / "model.onnx")
    assert info.kind == ("tracker" if name == "strrn" else "detector")
    assert parity(network, session, crops, starts) < 1e-3

    model = onnx.load(tmp_path / "model.onnx")
    assert {entry.domain: entry.version for entry in model.opset_import}[""] == OPSET
    inputs = ["crop", "start_points_crop", "crop_before", "points_before_crop"]
    assert [value.name for value in model.graph.input] == inputs[: 1 if name != "strrn" else 4 if network.appearance_memory else 2]
    assert all(value.type.tensor_type.shape.dim[0].dim_param for value in model.graph.input)


def test_large_weights_are_stored_in_half_precision(tmp_path, monkeypatch):
    network = small.build("mdm").eval()
    metadata = {**tiny.METADATA, **{key: small.header("mdm")[key] for key in ("scheme", "reference_shape", "size")}}
    crops = np.random.default_rng(2).integers(0, 256, (3, small.SIZE, small.SIZE, 3), np.uint8)
    export_detector(network, tmp_path / "whole.onnx", metadata)
    monkeypatch.setattr(export, "LARGE", 1000)
    export_detector(network, tmp_path / "half.onnx", metadata)
    kinds = {weight.data_type for weight in onnx.load(tmp_path / "half.onnx").graph.initializer if np.prod(weight.dims) >= 1000}
    assert onnx.TensorProto.FLOAT16 in kinds and onnx.TensorProto.FLOAT not in kinds
    assert (tmp_path / "half.onnx").stat().st_size < (tmp_path / "whole.onnx").stat().st_size
    assert parity(network, open_model(tmp_path / "half.onnx")[0], crops, None) < 0.01


def test_parity_sees_a_difference(tmp_path):
    class Shifted(tiny.SquareDetector):
        def forward(self, images):
            points, confidence = super().forward(images)
            return points + 0.25, confidence

    session, _ = open_model(tiny.models_dir() / "detector.onnx")
    crops = np.random.default_rng(0).integers(0, 256, (2, tiny.SIZE, tiny.SIZE, 3), np.uint8)
    assert parity(Shifted(), session, crops, None) == pytest.approx(0.25, abs=1e-3)
