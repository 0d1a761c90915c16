"""The networks themselves through ONNX: the same points, for one crop and for several."""

import numpy as np
import pytest
import torch

from strrn.core.landmarks import load_scheme, scheme_to_dict
from strrn.models.export import OPSET, export_detector, export_tracker, parity
from strrn.models.hourglass import HGN
from strrn.models.mdm import MDM
from strrn.models.strrn import STRRN
from strrn.runtime.models import open_model
from tests.runtime import tiny

SIZE = 315
PATCHES = {"hidden_size": 16, "patch_size": 30, "patch_stride": 2, "patch_channels": (4, 4), "patch_feature_size": 4}


def _network(name: str, scheme, reference):
    match name:
        case "mdm":
            network = MDM(scheme, reference, num_steps=2, **PATCHES)
        case "hgn":
            network = HGN(scheme.num_landmarks, SIZE, input_size=64, num_stacks=1, channels=8, depth=2, sigma=1.5)
        case "strrn":
            network = STRRN(scheme, reference, geometry="signed_log", geometry_feature_size=2, **PATCHES)
    # Untrained last layers are almost zero: displacements of some pixels, as a trained network has.
    for parameter_name, parameter in network.named_parameters():
        if parameter_name in ("displacement.weight", "temporal.2.weight"):
            torch.nn.init.normal_(parameter, std=0.1)
    return network.eval()


@pytest.mark.parametrize("name", ["mdm", "hgn", "strrn"])
def test_onnx_gives_the_networks_points(name, tmp_path):
    torch.manual_seed(1)
    generator = np.random.default_rng(2)
    scheme = load_scheme("ibug68")
    reference = generator.uniform(80, 235, (68, 2)).astype(np.float32)
    network = _network(name, scheme, torch.from_numpy(reference))
    metadata = {**tiny.METADATA, "scheme": scheme_to_dict(scheme), "reference_shape": reference.tolist()}
    crops = generator.integers(0, 256, (3, SIZE, SIZE, 3), np.uint8)
    if name == "strrn":
        starts = (reference + generator.normal(0, 4, (3, 68, 2))).astype(np.float32)
        export_tracker(network, tmp_path / "model.onnx", metadata)
    else:
        starts = None
        export_detector(network, tmp_path / "model.onnx", metadata)
    session, info = open_model(tmp_path / "model.onnx")
    assert info.kind == ("tracker" if name == "strrn" else "detector")
    assert parity(network, session, crops, starts) < 1e-3

    import onnx

    model = onnx.load(tmp_path / "model.onnx")
    assert {entry.domain: entry.version for entry in model.opset_import}[""] == OPSET
    assert [value.name for value in model.graph.input] == ["crop"] + ["start_points_crop"] * (name == "strrn")
    assert all(value.type.tensor_type.shape.dim[0].dim_param for value in model.graph.input)


def test_parity_sees_a_difference(tmp_path):
    class Shifted(tiny.SquareDetector):
        def forward(self, images):
            points, confidence = super().forward(images)
            return points + 0.25, confidence

    session, _ = open_model(tiny.models_dir() / "detector.onnx")
    crops = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3), np.uint8)
    assert parity(Shifted(), session, crops, None) == pytest.approx(0.25, abs=1e-3)
