"""Networks under bfloat16 autocast, as they are trained on a GPU. The CPU has it as well."""

import pytest
import torch

from strrn.models.precision import full_precision
from strrn.models.spatial import CanonicalFrame
from strrn.training.tracker import to_other_crop
from tests.models.small import SIZE, build, reference_shape

POINTS = torch.from_numpy(reference_shape())[None] + 250.3  # where a pixel is one step of bfloat16


def half() -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16)


def test_coordinates_keep_their_precision():
    matrix = torch.tensor([[[0.9, 0.1, 3.0], [-0.1, 0.9, 5.0]]])
    frame = CanonicalFrame(POINTS[0])
    with half():
        assert (POINTS @ matrix[:, :, :2]).dtype == torch.bfloat16  # what autocast would do to them
        moved, (canonical, _) = to_other_crop(POINTS, matrix), frame(POINTS)
    assert torch.equal(moved, to_other_crop(POINTS, matrix)) and torch.equal(canonical, frame(POINTS)[0])


def test_without_autocast_nothing_is_changed():
    assert full_precision(lambda x, add: x + add)(torch.ones(2), add=1).tolist() == [2, 2]


@pytest.mark.parametrize("name", ["mdm", "hgn", "strrn"])
def test_networks_answer_in_float32_and_weights_stay_float32(name):
    model, images = build(name).train(), torch.rand(4, 3, SIZE // build(name).stride, SIZE // build(name).stride)
    starts = torch.from_numpy(reference_shape()).expand(4, -1, -1)
    with half():
        steps = model.passes(images, starts) if name == "strrn" else model.detect(images).steps
        loss = sum(points.square().mean() for points in steps)
    loss.backward()
    assert loss.dtype == torch.float32 and all(p.dtype == torch.float32 for p in steps)
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert len(gradients) > 5 and all(g.dtype == torch.float32 and torch.isfinite(g).all() for g in gradients)


@pytest.mark.parametrize("name", ["mdm", "strrn"])
def test_points_of_half_precision_are_those_of_full_to_a_tenth_of_a_pixel(name):
    model, images = build(name).eval(), torch.rand(4, 3, SIZE // build(name).stride, SIZE // build(name).stride)
    starts = torch.from_numpy(reference_shape()).expand(4, -1, -1)

    def answer() -> torch.Tensor:
        return model.step(images, starts) if name == "strrn" else model.detect(images).points

    exact = answer()
    with half():
        rounded = answer()
    assert 0 < (rounded - exact).abs().max() < 0.1
