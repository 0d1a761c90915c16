"""Landmark models of others: tiny ONNX files of every kind that the contract knows, each of which finds a bright square."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from strrn.runtime.backbone import BackboneContract, OnnxBackbone, contract_from_dict, contract_to_dict, read_contract
from strrn.runtime.models import open_session

CROP, SIZE = 120, 48
REFERENCE = np.array([[30, 30], [90, 30], [60, 90]], np.float32)  # box of 60: at fill 0.5 the model sees the whole crop
PLAIN = BackboneContract(
    size=SIZE, layout="nchw", channels="rgb", type="float32", mean=(0, 0, 0), deviation=(255, 255, 255), fill=0.5,
    kind="coordinates", unit="pixels", name=None, landmarks=None, licence="CC0",
)  # fmt: skip


class Finder(nn.Module):
    """Three landmarks, all at the centre of mass of the first channel, as (N, 6)."""

    def __init__(self, unit: str | int, layout: str) -> None:
        super().__init__()
        self.unit, self.layout = unit, layout

    def centre(self, picture: Tensor) -> Tensor:
        picture = picture.float()
        red = picture[:, 0] if self.layout == "nchw" else picture[..., 0]
        cells = torch.arange(SIZE, dtype=torch.float32)
        mass = red.sum((1, 2)).clamp(min=1e-3)
        return torch.stack([(red.sum(1) * cells).sum(-1), (red.sum(2) * cells).sum(-1)], -1) / mass[:, None]

    def forward(self, picture: Tensor) -> Tensor:
        centre = self.centre(picture)
        centre = {"pixels": centre, "unit": (centre + 0.5) / SIZE, "signed": (centre + 0.5) / SIZE * 2 - 1, 96: 2 * centre + 0.5}[self.unit]
        return torch.cat([centre] * 3, 1)


class Mapper(Finder):
    """The same as heatmaps of 24 x 24 cells."""

    def forward(self, picture: Tensor) -> Tensor:
        centre = (self.centre(picture) + 0.5) / 2 - 0.5
        cells = torch.arange(24, dtype=torch.float32)
        across, down = (torch.exp(-0.5 * (cells - centre[:, axis, None]).square() / 4) for axis in (0, 1))
        return (down[:, :, None] * across[:, None, :])[:, None].expand(-1, 3, -1, -1)


def write(path: Path, model: nn.Module, contract: BackboneContract, batch: bool = True) -> OnnxBackbone:
    shape = (2 if batch else 1, SIZE, SIZE, 3) if contract.layout == "nhwc" else (2 if batch else 1, 3, SIZE, SIZE)
    example = torch.zeros(shape, dtype=torch.uint8 if contract.type == "uint8" else torch.float32)
    axes = ({0: torch.export.Dim("batch")},) if batch else None
    program = torch.onnx.export(model.eval(), (example,), dynamic_shapes=axes, dynamo=True, verbose=False, opset_version=20)
    onnx.save(program.model_proto, path)
    return OnnxBackbone(open_session(path), contract, REFERENCE, CROP, 5.0, 9)


def crop(x: int, y: int, size: int = CROP) -> np.ndarray:
    picture = np.zeros((CROP, CROP, 3), np.uint8)
    picture[y - 6 : y + 7, x - 6 : x + 7, 0] = 255
    return picture if size == CROP else picture.reshape(size, CROP // size, size, CROP // size, 3).mean((1, 3)).astype(np.uint8)


@pytest.mark.filterwarnings("ignore")  # of torch's exporter
@pytest.mark.parametrize(
    ("change", "batch"),
    [
        ({}, True),
        ({"unit": "unit"}, False),
        ({"unit": 96}, True),
        ({"unit": "signed", "layout": "nhwc"}, True),
        ({"layout": "nhwc", "type": "uint8"}, True),
        ({"kind": "heatmaps"}, True),
        ({"kind": "heatmaps", "fill": 0.75}, False),
    ],
)
def test_the_square_is_found_where_it_is(tmp_path, change, batch):
    contract = replace(PLAIN, **change)
    model = (Mapper if contract.kind == "heatmaps" else Finder)(contract.unit, contract.layout)
    backbone = write(tmp_path / "model.onnx", model, contract, batch)
    places = np.array([[62, 60], [50, 71]])
    points, confidence, patches = backbone([crop(*place) for place in places.tolist()])
    assert points.shape == (2, 3, 2) and confidence.shape == (2, 3) and (confidence > 0).all() and (confidence < 1).all()
    np.testing.assert_allclose(points, np.repeat(places[:, None], 3, 1), atol=0.35)
    (reduced,), _, _ = backbone([crop(50, 71, CROP // 2)])
    np.testing.assert_allclose(reduced, np.repeat(places[1:], 3, 0), atol=0.6)
    assert backbone.has_patches == (contract.kind == "heatmaps")
    if backbone.has_patches:
        assert patches.shape == (2, 3, 9, 9) and (patches.reshape(6, -1).argmax(1) == 40).all()
    else:
        assert patches is None


@pytest.mark.filterwarnings("ignore")
def test_channels_numbers_and_outputs_that_do_not_fit(tmp_path):
    swapped = write(tmp_path / "model.onnx", Finder("pixels", "nchw"), replace(PLAIN, channels="bgr", landmarks=(2, 0, 1)))
    with pytest.raises(AssertionError):  # the square is red, and this contract hands blue over as the first channel
        np.testing.assert_allclose(swapped([crop(50, 71)])[0][0], [[50, 71]] * 3, atol=5)
    session = open_session(tmp_path / "model.onnx")
    for change, message in (
        ({"landmarks": (0, 1)}, "must list 3 numbers in 0..2"),
        ({"landmarks": (0, 1, 3)}, "must list 3 numbers in 0..2"),
        ({"kind": "heatmaps"}, r"expected heatmaps \(N, L, h, w\)"),
    ):
        with pytest.raises(ValueError, match=message):
            OnnxBackbone(session, replace(PLAIN, **change), REFERENCE, CROP, 5.0, 9)([crop(50, 71)])
    with pytest.raises(ValueError, match="has no output 'points'"):
        OnnxBackbone(session, replace(PLAIN, name="points"), REFERENCE, CROP, 5.0, 9)
    more = np.concatenate([REFERENCE, REFERENCE])
    with pytest.raises(ValueError, match="gives 3 landmarks, the scheme has 6"):
        OnnxBackbone(session, PLAIN, more, CROP, 5.0, 9)([crop(50, 71)])


def test_a_contract_is_read_back_and_its_faults_are_named(tmp_path):
    content = contract_to_dict(PLAIN)
    assert contract_from_dict(content, "here") == PLAIN
    for broken, message in (
        (content | {"input": content["input"] | {"layout": "hwcn"}}, "layout: found 'hwcn'"),
        (content | {"input": {"size": 3}}, "input must have exactly size, layout"),
        (content | {"input": content["input"] | {"mean": [0]}}, "three numbers each"),
        (content | {"colour": 1}, "expected input, output, landmarks and licence"),
    ):
        with pytest.raises(ValueError, match=f"here: .*{message}"):
            contract_from_dict(broken, "here")
    with pytest.raises(FileNotFoundError, match=r"write beside .*model\.onnx"):
        read_contract(tmp_path / "model.onnx")
