"""BRF's head: what it is before training, and that its parts do what they say."""

import numpy as np
import pytest
import torch

from strrn.core.geometry import fit_similarity
from strrn.models.brf import Refiner, RefinerParameters, apply_motion, build_refiner, main_modes, motion_between
from strrn.models.convlstm import ConvLSTMCell
from strrn.models.export import export_refiner, refiner_example, refiner_parity
from strrn.runtime.models import open_model
from strrn.runtime.refine import STATE
from tests.runtime.tiny import METADATA, REFERENCE, SCHEME

SHAPE = torch.from_numpy(REFERENCE)
COUNT = len(REFERENCE)


def head(patches: bool = False, trained: bool = True) -> Refiner:
    torch.manual_seed(0)
    model = Refiner(SCHEME, SHAPE, channels=3, window=5, cell=0.05, modes=2, hidden_size=8, patches=patches)
    model.basis.copy_(main_modes(SHAPE + 5 * torch.randn(9, COUNT, 2), SHAPE, 2))
    if trained:
        torch.nn.init.normal_(model.answer.weight, std=0.3)
        torch.nn.init.normal_(model.landmark_answer, std=0.3)
    return model


def inputs(batch: int, patches: bool = False, seed: int = 1) -> dict[str, torch.Tensor]:
    """A restless frame; with names as `Refiner.forward` has them, without the state."""
    generator = torch.Generator().manual_seed(seed)

    def around(points: torch.Tensor, spread: float) -> torch.Tensor:
        return points + spread * torch.randn(points.shape, generator=generator)

    before = around(SHAPE.expand(batch, -1, -1), 5.0)
    values = {"points": around(before, 4.0), "before": before, "moved": around(before, 4.0)}
    values["confidence"] = torch.rand(batch, COUNT, generator=generator)
    values["flow_error"] = torch.rand(batch, COUNT, generator=generator)
    return values | ({"patches": torch.rand(batch, COUNT, 9, 9, generator=generator)} if patches else {})


@pytest.mark.parametrize("patches", [False, True])
def test_before_training_the_answer_is_the_backbones(patches):
    model = head(patches, trained=False)
    state = model.first_state(2)
    for frame in range(3):
        values = inputs(2, patches, frame)
        refined, state = model(**values, state=state)
        assert torch.equal(refined, values["points"])
    assert state.hidden.abs().max() > 0  # it remembers all the same


@pytest.mark.parametrize("patches", [False, True])
def test_every_weight_gets_a_gradient_through_time(patches):
    model = head(patches)
    state = model.first_state(2)
    for frame in range(3):
        refined, state = model(**inputs(2, patches, frame), state=state)
    (refined - 100).square().mean().backward()
    assert not [name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.abs().max() > 0]


def test_a_batch_of_two_is_two_batches_of_one():
    model = head()
    both, state = inputs(2), model.first_state(2)
    together, after = model(**both, state=state)
    for n in range(2):
        alone, own = model(**{name: value[n : n + 1] for name, value in both.items()}, state=model.first_state(1))
        torch.testing.assert_close(alone[0], together[n], atol=1e-4, rtol=0)
        torch.testing.assert_close(own.motion[0], after.motion[n], atol=1e-5, rtol=0)


def test_the_answer_moves_with_the_crop():
    """All that the head sees is relative to the face: where it stands in the crop changes nothing."""
    model, values, offset = head(), inputs(1), torch.tensor([13.0, -7.0])
    moved = {name: value + offset if name in ("points", "before", "moved") else value for name, value in values.items()}
    refined, _ = model(**values, state=model.first_state(1))
    other, _ = model(**moved, state=model.first_state(1))
    torch.testing.assert_close(other, refined + offset, atol=1e-3, rtol=0)


def test_a_wild_flow_moves_a_point_no_farther_than_its_limit():
    model, values = head(), inputs(1)
    results = []
    for far in (1e3, 1e6):
        wild = values["moved"].clone()
        wild[0, 2] += torch.tensor([far, 0.0])
        results.append(model(**(values | {"moved": wild, "flow_error": torch.zeros(1, COUNT)}), state=model.first_state(1))[0])
    assert (results[0] - values["points"]).norm(dim=-1).max() < 100
    torch.testing.assert_close(results[0], results[1], atol=0.1, rtol=0)


def test_no_point_leaves_the_backbones_by_more_than_its_confidence_allows():
    """Errors are exponential with mean s: P(error < 0.05) = 1 - exp(-0.05 / s); what came before lies 300 px away."""
    model, values = head(), inputs(1)
    torch.nn.init.normal_(model.answer.weight, std=30.0)
    confidence = torch.linspace(0.1, 0.9, COUNT)[None]
    far = {"before": values["before"] + 300 * torch.randn(1, COUNT, 2), "confidence": confidence}
    refined, _ = model(**(values | far), state=model.first_state(1))
    moved = (refined - values["points"]).norm(dim=-1)
    allowed = 2.0 * -0.05 / torch.log(1 - confidence) * model.distance
    assert (moved <= allowed * 1.001).all() and moved.max() > 1


def test_drawn_and_cut_heatmaps_agree():
    """A backbone's heatmap that is a Gaussian about its point is what a coordinate is drawn as."""
    model = head(patches=True)
    width, offset = 1.3, torch.tensor([[[0.4, -0.7]]]).expand(1, COUNT, 2)
    cells = torch.arange(9) - 4.0
    gaussian = torch.exp(-0.5 * (cells[:, None] ** 2 + cells**2) / width**2)
    drawn = model._draw(offset, torch.full((1, COUNT), width))
    cut = model._cut(gaussian.expand(1, COUNT, 9, 9), offset)
    torch.testing.assert_close(cut, drawn, atol=0.12, rtol=0)  # bilinear
    assert divmod(int(drawn[0, 0].argmax()), 5) == divmod(int(cut[0, 0].argmax()), 5) == (1, 2)  # up, where y is negative


def test_motion_is_the_least_squares_similarity():
    source, target = inputs(1)["before"], inputs(1, seed=5)["points"]
    motion = motion_between(source, target)
    fit = fit_similarity(source[0].numpy(), target[0].numpy(), 1)
    np.testing.assert_allclose(apply_motion(motion, source)[0].numpy(), fit.to_crop(source[0].numpy()), atol=1e-3)
    np.testing.assert_allclose(motion[0, :2].numpy(), [fit.a - 1, fit.b], atol=1e-5)


def test_main_modes_are_those_in_which_shapes_differ():
    """Faces that turn: their eyes come nearer to each other, while they stand anywhere, at any size and angle."""
    turn = torch.zeros(COUNT, 2)
    turn[0, 0], turn[1, 0] = 1.0, -1.0
    torch.manual_seed(0)
    shapes = SHAPE + torch.randn(40, 1, 1) * 8 * turn
    moved = apply_motion(torch.randn(40, 4) * torch.tensor([0.1, 0.1, 20.0, 20.0]), shapes)
    (mode,) = main_modes(moved, SHAPE, 1)
    torch.testing.assert_close(mode.norm(), torch.tensor(1.0))
    # What is left of the turn once the similarity has taken its part.
    carried = SHAPE + 8 * turn
    left = (apply_motion(motion_between(carried[None], SHAPE[None]), carried[None]) - SHAPE).flatten()
    assert abs(float(mode @ left) / float(left.norm())) > 0.99
    few = main_modes(moved[:3], SHAPE, 4)
    assert few[:2].abs().max() > 0 and not few[3].any() and not main_modes(moved[:0], SHAPE, 2).any()


def test_a_point_of_no_weight_does_not_count_in_a_motion():
    source = inputs(1)["before"]
    target = apply_motion(torch.tensor([[0.1, -0.05, 3.0, 4.0]]), source)
    spoiled = target.clone()
    spoiled[0, 1] += 50
    weights = torch.ones(1, COUNT)
    weights[0, 1] = 0
    torch.testing.assert_close(apply_motion(motion_between(source, spoiled, weights), source), target, atol=1e-3, rtol=0)


@pytest.mark.parametrize("patches", [False, True])
def test_the_exported_head_carries_its_state(tmp_path, patches):
    model = head(patches).eval()
    path = tmp_path / "refiner.onnx"
    export_refiner(model, path, METADATA, None)
    session, info = open_model(path)
    assert info.kind == "refiner"
    names = {"points": "points_crop", "before": "before_crop", "moved": "moved_crop"}
    frames = [{names.get(key, key): value.numpy() for key, value in inputs(3, patches, seed).items()} for seed in range(5)]
    assert refiner_parity(model, session, frames) < 1e-3
    # The state counts: the same frame after another past has another answer.
    feed = frames[0] | {name: value.numpy() for name, value in refiner_example(model, SHAPE).items() if name in STATE}
    feed = {name: value[:2] for name, value in feed.items()}
    first = session.run(None, feed)
    again = session.run(None, feed | dict(zip(STATE, first[1:], strict=True)))
    assert np.abs(first[0] - again[0]).max() > 1e-3


def test_a_convlstm_cell_by_hand():
    """1 x 1 map, all weights 0: the gates are their biases; forgetting is sigmoid(1 + b)."""
    cell = ConvLSTMCell(1, 1)
    for weight in (cell.gates.weight, cell.gates.bias):
        torch.nn.init.zeros_(weight)
    bias = torch.tensor([[0.3, 1.0, -0.2, 0.5]])
    hidden, new = cell(torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1), torch.full((1, 1, 1, 1), 2.0), bias)
    sigmoid = [1 / (1 + np.exp(-value)) for value in (0.3, 1.0, -0.2)]
    expected = sigmoid[1] * 2 + sigmoid[0] * np.tanh(0.5)
    hidden, new = hidden.detach(), new.detach()
    assert float(new) == pytest.approx(expected, abs=1e-6)
    assert float(hidden) == pytest.approx(sigmoid[2] * np.tanh(expected), abs=1e-6)


def test_wrong_parameters_and_headers():
    with pytest.raises(ValueError, match="window must be odd, found 4"):
        RefinerParameters(channels=1, window=4, cell=0.1, modes=1, hidden_size=1)
    with pytest.raises(ValueError, match="'mdm': expected brf"):
        build_refiner({"architecture": "mdm"})
    with pytest.raises(ValueError, match="kernel must be odd"):
        ConvLSTMCell(1, 1, 2)
