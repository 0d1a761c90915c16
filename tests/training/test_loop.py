import pytest
import torch
from torch import nn

from strrn.training.loop import Schedule, train
from tests.training.material import loop


def run(errors: list[float], **changes: object):
    """Train a scalar whose 'validation errors' are scripted; returns (history, model, epochs)."""
    model = nn.Linear(1, 1, bias=False)
    seen = []

    def validate(candidate: nn.Module) -> float:
        seen.append(float(candidate.weight.detach()))
        return errors[len(seen) - 1]

    batches = [{"x": torch.ones(4, 1)}]
    history = train(
        model, lambda _: batches, lambda m, b: {"loss": m(b["x"]).square().mean()}, validate, loop(average=0.0, **changes), "test"
    )
    return history, model, seen


def test_ends_when_the_error_stops_falling_after_the_drops():
    errors = [1.0, 0.9, 0.95, 0.95, 0.95, 0.95, 0.95, 0.95]
    history, model, seen = run(errors, max_epochs=8, patience=2, num_drops=1)
    # Best in epoch 1; two epochs without progress: the rate drops; two more: the end.
    assert len(seen) == 6
    rates = [value for _, name, value in history.rows if name == "learning_rate"]
    assert rates == pytest.approx([1e-3] * 4 + [1e-3 / 3] * 2)
    assert float(model.weight.detach()) == seen[1]


def test_the_cosine_runs_every_epoch_and_ends_near_zero():
    history, model, seen = run([1.0, 0.9, 0.95, 0.95], max_epochs=4, schedule=Schedule.cosine, patience=1)
    rates = [value for _, name, value in history.rows if name == "learning_rate"]
    assert rates == pytest.approx([1e-3, 1e-3 * (2 + 2**0.5) / 4, 5e-4, 1e-3 * (2 - 2**0.5) / 4])
    assert float(model.weight.detach()) == seen[1]


def test_a_small_gain_is_kept_but_does_not_count_as_progress():
    errors = [1.0, 0.999, 0.998, 0.997]
    _, model, seen = run(errors, max_epochs=4, patience=3, num_drops=0, tolerance=0.01)
    assert len(seen) == 4
    assert float(model.weight.detach()) == seen[3]


def test_a_loss_that_is_not_finite_stops_with_its_terms():
    model = nn.Linear(1, 1)
    step = lambda m, b: {"good": m(b["x"]).mean(), "bad": torch.tensor(float("nan"))}  # noqa: E731
    with pytest.raises(FloatingPointError, match=r"epoch 0, step 0: .*'bad': nan"):
        train(model, lambda _: [{"x": torch.ones(1, 1)}], step, lambda _: 0.0, loop(), "test")


def test_averaged_weights_follow_the_model():
    model = nn.Linear(1, 1, bias=False)
    seen = []

    def validate(candidate: nn.Module) -> float:
        seen.append((float(model.weight.detach()), float(candidate.weight.detach())))
        return 1.0

    train(
        model,
        lambda _: [{"x": torch.ones(4, 1)}] * 3,
        lambda m, b: {"loss": m(b["x"]).square().mean()},
        validate,
        loop(average=0.5, max_epochs=1),
        "test",
    )
    plain, averaged = seen[0]
    assert plain != averaged
    assert plain == pytest.approx(averaged, abs=0.01)


@pytest.mark.parametrize(("name", "value"), [("batch_size", 0), ("learning_rate", 0.0), ("drop", 1.0), ("average", 1.0)])
def test_parameters_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=name):
        loop(**{name: value})
