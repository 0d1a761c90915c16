"""Backbones as BRF's head sees them: detectors of ours, with and without heatmaps."""

import numpy as np
import pytest
import torch

from strrn.evaluation.refined import open_backbone
from strrn.models import checkpoint
from strrn.models.pixels import network_input
from strrn.training.distil import round_seed
from tests.runtime.tiny import METADATA, REFERENCE, SIZE

SMALL = {
    "mdm": {
        "hidden_size": 8,
        "patches": {"sizes": [96, 48], "samples": 8, "block": 4, "channels": [4, 4], "feature_size": 4, "contrast_floor": 0.02},
    },
    "hgn": {"input_size": 64, "num_stacks": 1, "channels": 4, "depth": 1, "sigma": 1.5},
}


@pytest.mark.parametrize("architecture", SMALL)
def test_a_detector_of_ours(tmp_path, architecture):
    """Its points and confidences are its own; heatmaps come as patches whose middle is the point."""
    torch.manual_seed(round_seed(0, "test"))
    header = {key: METADATA[key] for key in ("scheme", "reference_shape", "face_template", "size", "round")}
    header |= {"architecture": architecture, "parameters": SMALL[architecture], "data_hashes": {}}
    detector = checkpoint.build(header).eval()
    path = tmp_path / "detector.safetensors"
    checkpoint.save(path, detector, header)
    look, stride, has_patches = open_backbone("detector", path, REFERENCE, SIZE, 5.0, 9)
    assert stride == detector.stride and has_patches == (architecture == "hgn")
    crops = np.random.default_rng(0).integers(0, 255, (2, SIZE // stride, SIZE // stride, 3), dtype=np.uint8)
    points, confidence, patches = look(list(crops))
    with torch.inference_mode():
        expected = [value.numpy() for value in detector(network_input(crops, 1))]
    np.testing.assert_allclose(points, expected[0], atol=1e-3)
    np.testing.assert_allclose(confidence, expected[1], atol=1e-5)
    if has_patches:
        assert patches.shape == (2, 5, 9, 9) and patches.min() >= 0 and patches.max() <= 1 + 1e-6
    else:
        assert patches is None
