import numpy as np
import onnx
import pytest

from benchmarks import int8
from strrn.core.model_files import PACKAGE_MODELS
from strrn.runtime.models import ModelPair


def test_small_models_say_nearly_the_same_and_keep_their_metadata(tmp_path):
    for name in ("tracker.onnx", "detector.onnx"):
        int8.quantize(PACKAGE_MODELS / name, tmp_path / name)
        assert (tmp_path / name).stat().st_size < 0.7 * (PACKAGE_MODELS / name).stat().st_size
        kinds = {node.op_type for node in onnx.load(tmp_path / name).graph.node}
        assert "MatMulInteger" in kinds and "Gemm" not in kinds
    small, large = ModelPair(tmp_path), ModelPair(PACKAGE_MODELS)
    side = large.info.size // large.stride
    crop = np.random.default_rng(0).integers(0, 255, (side, side, 3), np.uint8)
    frame = [crop], large.info.reference_shape[None]
    away = np.abs(small.track(*frame, *frame) - large.track(*frame, *frame))
    assert 0 < away.mean() < 2  # of 315 pixels


def test_the_models_themselves_are_not_written_over():
    with pytest.raises(SystemExit):
        int8.main(["--models", str(PACKAGE_MODELS), "--out", str(PACKAGE_MODELS)])
