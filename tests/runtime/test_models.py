import shutil

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from strrn.core.landmarks import scheme_to_dict
from strrn.models.export import export_detector
from strrn.runtime.models import ModelPair, open_model
from tests.runtime import tiny


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(tiny.models_dir(), tmp_path / "models")
    return tmp_path / "models"


def test_metadata_survives(folder):
    _, info = open_model(folder / "tracker.onnx")
    assert (info.kind, info.round, info.licence, info.size) == ("tracker", "r2", "CC0", tiny.SIZE)
    assert info.scheme == tiny.SCHEME and info.runtime == tiny.PARAMETERS and info.versions == {"strrn": "0.1.0"}
    np.testing.assert_array_equal(info.reference_shape, tiny.REFERENCE)


def test_answers_of_the_pair(folder):
    pair = ModelPair(folder)
    crop = np.full((tiny.SIZE, tiny.SIZE, 3), 30, np.uint8)
    crop[100:140, 200:240] = 255  # centre (219.5, 119.5)
    expected = tiny.REFERENCE - tiny.REFERENCE.mean(0) + (219.5, 119.5)
    (points,), (confidence,) = pair.detect([crop])
    np.testing.assert_allclose(points, expected, atol=1e-3)
    np.testing.assert_allclose(confidence, np.full(5, 0.9), atol=1e-6)
    np.testing.assert_allclose(pair.track(*([crop], tiny.REFERENCE[None]) * 2)[0], expected, atol=1e-3)


def test_missing_files_are_named_with_the_cure(folder):
    (folder / "detector.onnx").unlink()
    with pytest.raises(FileNotFoundError, match=r"no detector\.onnx in .*: run `dvc repro`"):
        ModelPair(folder)


def test_a_file_that_is_no_model(folder):
    (folder / "detector.onnx").write_bytes(b"not a model at all")
    with pytest.raises(ValueError, match=r"detector\.onnx is not an ONNX model"):
        ModelPair(folder)


def test_a_cut_file(folder):
    content = (folder / "detector.onnx").read_bytes()
    (folder / "detector.onnx").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"detector\.onnx is not an ONNX model"):
        ModelPair(folder)


def test_a_model_of_somebody_else(tmp_path):
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "relu", [value], [out])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), tmp_path / "relu.onnx")
    with pytest.raises(ValueError, match=r"not one that this project exported: its metadata lacks \['kind'"):
        open_model(tmp_path / "relu.onnx")


def test_a_detector_in_the_trackers_place(folder):
    shutil.copy(folder / "detector.onnx", folder / "tracker.onnx")
    with pytest.raises(ValueError, match=r"tracker\.onnx is a detector, expected a tracker"):
        ModelPair(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"round": "r1"}, "different rounds \\('r2' and 'r1'\\)"),
        ({"scheme": scheme_to_dict(tiny.SCHEME) | {"name": "other"}}, r"different landmark schemes \(five and other\)"),
        ({"scheme": {"name": "other"}}, "missing fields"),
        ({"runtime": {"mode": "tracker"}}, "missing parameters"),
        ({"face_template": [[0, 0]]}, r"face_template \(1, 2\)"),
    ],
)
def test_files_that_do_not_fit(folder, change, message):
    model = onnx.load(folder / "detector.onnx")
    import json

    values = {entry.key: entry.value for entry in model.metadata_props} | {key: json.dumps(value) for key, value in change.items()}
    helper.set_model_props(model, values)
    onnx.save(model, folder / "detector.onnx")
    with pytest.raises(ValueError, match=message):
        ModelPair(folder)


def test_export_leaves_nothing_behind_when_metadata_is_no_json(tmp_path):
    with pytest.raises(TypeError, match="not JSON serializable"):
        export_detector(tiny.SquareDetector(), tmp_path / "detector.onnx", {**tiny.METADATA, "round": tiny.PARAMETERS})
    assert list(tmp_path.iterdir()) == []


def test_stills_get_the_mean_of_both_networks(folder, monkeypatch):
    pair = ModelPair(folder)
    crop = np.random.default_rng(0).integers(0, 256, (pair.info.size // pair.stride,) * 2 + (3,), np.uint8)
    points, confidence = pair.detect([crop])
    monkeypatch.setattr(pair, "track", lambda crops, start, *before: start + 2)  # the tiny tracker agrees with its detector
    both, same = pair.detect_twice([crop])
    np.testing.assert_allclose(both, points + 1)
    np.testing.assert_array_equal(same, confidence)
