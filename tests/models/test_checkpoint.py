import platform

import pytest
import torch

from strrn.models import checkpoint
from tests.models.small import SIZE, build, header


@pytest.mark.parametrize("name", ["mdm", "hgn", "strrn"])
def test_what_is_saved_is_loaded(name, tmp_path):
    model = build(name).eval()
    checkpoint.save(tmp_path / "model.safetensors", model, header(name))
    loaded, read = checkpoint.load(tmp_path / "model.safetensors")
    made_with = read.pop("environment")
    assert made_with["python"] == platform.python_version() and made_with["torch"] == torch.__version__
    assert read == header(name)
    assert not loaded.training
    assert checkpoint.weights_hash(loaded) == checkpoint.weights_hash(model)
    image = torch.rand(1, 3, SIZE, SIZE)
    arguments = (image, torch.rand(1, 68, 2) * SIZE) if name == "strrn" else (image,)
    with torch.no_grad():
        first, second = model(*arguments), loaded(*arguments)
    torch.testing.assert_close(first, second, atol=0, rtol=0)


def test_a_missing_file_names_the_cure(tmp_path):
    with pytest.raises(FileNotFoundError, match="run `dvc repro`"):
        checkpoint.load(tmp_path / "none.safetensors")


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x00" * 100])
def test_a_file_of_another_kind_is_refused(content, tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not a model of this project"):
        checkpoint.load(path)


def test_weights_that_do_not_fit_the_header_are_refused(tmp_path):
    checkpoint.save(tmp_path / "model.safetensors", build("mdm"), header("mdm", hidden_size=8))
    with pytest.raises(ValueError, match="do not fit its header"):
        checkpoint.load(tmp_path / "model.safetensors")


def test_an_unknown_architecture_is_refused():
    with pytest.raises(ValueError, match="unknown architecture 'resnet'"):
        checkpoint.build({**header("mdm"), "architecture": "resnet"})
