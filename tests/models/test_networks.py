import pytest
import torch

from tests.models.small import PATCHES, SIZE, build, reference_shape

DETECTORS = ["mdm", "hgn"]


def starts(batch: int) -> torch.Tensor:
    noise = torch.randn(batch, 68, 2, generator=torch.Generator().manual_seed(1))
    return torch.from_numpy(reference_shape()) + noise


def images(batch: int) -> torch.Tensor:
    return torch.rand(batch, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(2))


def call(name: str, model: torch.nn.Module, batch: int) -> torch.Tensor:
    return model(images(batch), starts(batch)) if name == "strrn" else model(images(batch))[0]


@pytest.mark.parametrize("name", [*DETECTORS, "strrn"])
def test_shape_and_a_batch_of_two_equals_two_batches_of_one(name):
    model = build(name).eval()
    with torch.no_grad():
        both = call(name, model, 2)
        first = model(images(2)[:1], starts(2)[:1]) if name == "strrn" else model(images(2)[:1])[0]
    assert both.shape == (2, 68, 2)
    torch.testing.assert_close(both[:1], first, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", [*DETECTORS, "strrn"])
def test_every_parameter_gets_a_gradient(name):
    model = build(name).train()
    if name == "strrn":
        model(images(4), starts(4)).square().sum().backward()
    else:
        detection = model.detect(images(4))
        terms = [p.square().sum() for p in detection.steps] + [h.square().sum() for h in detection.heatmaps]
        (sum(terms) + detection.log_scale.square().sum()).backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert silent == []


@pytest.mark.parametrize("name", DETECTORS)
def test_confidence_is_a_probability_and_falls_with_the_scale(name):
    model = build(name).eval()
    with torch.no_grad():
        _, confidence = model(images(2))
    assert confidence.shape == (2, 68)
    assert ((confidence > 0) & (confidence < 1)).all()
    # P(error < 0.05 d) of an exponential with mean 0.05 d is 1 - exp(-1).
    probability = model.confidence.probability(torch.log(torch.tensor([0.05, 0.1])))
    torch.testing.assert_close(probability, torch.tensor([0.632121, 0.393469]), atol=1e-5, rtol=0)


def test_an_untrained_mdm_stays_near_the_reference_shape():
    with torch.no_grad():
        points, _ = build("mdm").eval()(images(3))
    assert (points - torch.from_numpy(reference_shape())).abs().max() < 2


@pytest.mark.parametrize("name", [*DETECTORS, "strrn"])
def test_overfits_one_batch(name):
    model = build(name).train()
    target = starts(4) + torch.tensor([1.5, -1.0])
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)

    def loss() -> torch.Tensor:
        if name == "hgn":
            detection = model.detect(images(4))
            return sum((h - model.codec.encode(target)).square().mean() for h in detection.heatmaps)
        return (call(name, model, 4) - target).square().mean()

    before = float(loss().detach())
    for _ in range(60):
        optimiser.zero_grad()
        value = loss()
        value.backward()
        optimiser.step()
    assert float(value.detach()) < 0.5 * before


def test_without_the_spatial_module_the_tracker_sees_patches_only():
    tracker, whole = build("strrn", geometry="none", shape_prior=False).eval(), build("strrn")
    assert {name.split(".")[1] for name, _ in tracker.named_parameters() if name.startswith("spatial")} == {"patches"}
    assert tracker.spatial.size == tracker.spatial.patches.size == whole.spatial.size - whole.spatial.relation.size
    # On a picture of one colour all patches are alike, wherever they lie: the shape makes no difference any more.
    grey, where = torch.full((2, 3, SIZE, SIZE), 0.5), starts(1)
    with torch.no_grad():
        moved = [tracker(grey, points) - points for points in (starts(2), torch.cat([where * 0.9, where + 3.0]))]
    torch.testing.assert_close(moved[0], moved[1], atol=1e-4, rtol=0)


def test_the_tracker_takes_over_the_encoder_of_an_mdm_of_the_same_size():
    torch.manual_seed(1)
    detector, tracker = build("mdm"), build("strrn")
    torch.nn.init.normal_(detector.patches.encoder.weight)
    tracker.start_from(detector)
    for ours, theirs in zip(tracker.spatial.patches.encoder.parameters(), detector.patches.encoder.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)
        assert ours is not theirs
    with pytest.raises(ValueError, match=r"set pretrain\.encoder to own"):
        build("strrn", patches={**PATCHES, "feature_size": 5}).start_from(detector)


@pytest.mark.parametrize("memory", [True, False])
def test_only_a_tracker_that_remembers_sees_what_the_frame_before_showed(memory):
    tracker, other = build("strrn", appearance_memory=memory).eval(), torch.rand(2, 3, SIZE, SIZE)
    with torch.no_grad():
        alone = tracker(images(2), starts(2))
        torch.testing.assert_close(tracker(images(2), starts(2), images(2), starts(2)), alone)  # nothing before: what is there now
        assert torch.equal(tracker(images(2), starts(2), other, starts(2)), alone) != memory
