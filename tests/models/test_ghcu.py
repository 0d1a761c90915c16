"""GHCU: which landmarks it reads, which it replaces, and its checkpoint."""

from dataclasses import replace

import pytest
import torch

from strrn.models import checkpoint
from strrn.models.ghcu import GHCU, CorrectedDetector, GHCUParameters, build_corrected, corrected_header
from tests.models.small import SIZE, build, header, reference_shape

PARAMETERS = GHCUParameters(hidden_size=8, threshold=0.4)


def unit() -> GHCU:
    """A GHCU whose answer depends on what it reads: its last layer starts at 0."""
    torch.manual_seed(0)
    ghcu = GHCU(torch.from_numpy(reference_shape()), 20.0, 16, 8)
    torch.nn.init.normal_(ghcu.layers[-1].weight, std=0.1)
    return ghcu


def corrected() -> CorrectedDetector:
    torch.manual_seed(0)
    return build_corrected(corrected_header(header("hgn"), PARAMETERS))


def images(count: int = 2) -> torch.Tensor:
    return torch.rand(count, 3, SIZE // 2, SIZE // 2, generator=torch.Generator().manual_seed(1))


def test_untrained_it_answers_the_reference_shape():
    model = corrected()
    heatmaps, trusted = torch.rand(2, 68, 16, 16), torch.ones(2, 68, dtype=torch.bool)
    torch.testing.assert_close(model.ghcu(heatmaps, trusted), torch.from_numpy(reference_shape()).expand(2, -1, -1))


def test_it_reads_where_the_peaks_of_trusted_landmarks_are_and_nothing_of_the_others():
    ghcu = unit()
    heatmaps, trusted = torch.rand(1, 68, 16, 16), torch.ones(1, 68, dtype=torch.bool)
    trusted[0, 48:] = False
    before = ghcu(heatmaps, trusted)
    hidden, seen = heatmaps.clone(), heatmaps.clone()
    hidden[0, 50] = torch.rand(16, 16) * 5
    seen[0, 20] = heatmaps[0, 20].roll(3, -1)
    torch.testing.assert_close(ghcu(hidden, trusted), before, atol=0, rtol=0)
    assert not torch.allclose(ghcu(seen, trusted), before)
    torch.testing.assert_close(ghcu(torch.cat([seen, heatmaps]), trusted.expand(2, -1))[1:], before)  # a batch is its parts


def test_only_landmarks_whose_peak_is_below_the_threshold_are_replaced():
    model = corrected()
    torch.nn.init.normal_(model.ghcu.layers[-1].weight, std=0.1)
    plain = model.detector.detect(images())
    peaks = plain.heatmaps[-1].flatten(2).amax(-1)
    model.usual_peaks.copy_(torch.linspace(0.5, 2, 68) * peaks.median())
    found = model.detect(images())
    low = peaks < 0.4 * model.usual_peaks
    assert low.any() and not low.all()
    assert torch.equal(found.points[~low], plain.points[~low])
    assert torch.equal(found.points[low], model.ghcu(plain.heatmaps[-1], ~low)[low])
    assert torch.equal(found.log_scale, plain.log_scale)
    points, confidence = model(images())
    assert torch.equal(points, found.points) and confidence.shape == (2, 68)


def test_the_detector_stays_as_it_is_while_the_unit_learns():
    model = corrected().train()
    assert not model.detector.training and model.ghcu.training
    before = {name: values.clone() for name, values in model.detector.state_dict().items()}
    model.threshold = 2.0  # no peak is trusted
    model.detect(images()).points.square().mean().backward()
    assert all(parameter.grad is None for parameter in model.detector.parameters())
    assert model.ghcu.layers[-1].bias.grad.abs().sum() > 0
    assert all(torch.equal(values, before[name]) for name, values in model.detector.state_dict().items())


def test_a_checkpoint_comes_back_whole(tmp_path):
    model, described = corrected(), corrected_header(header("hgn"), PARAMETERS)
    checkpoint.save(tmp_path / "a.safetensors", model, described)
    again, read = checkpoint.load(tmp_path / "a.safetensors", build_corrected)
    assert read["architecture"] == "hgn_ghcu" and again.threshold == 0.4 and not again.training
    assert checkpoint.weights_hash(again) == checkpoint.weights_hash(model)
    with pytest.raises(ValueError, match="architecture 'hgn': expected 'hgn_ghcu'"):
        build_corrected(header("hgn"))
    with pytest.raises(ValueError, match="unknown architecture 'hgn_ghcu'"):
        checkpoint.load(tmp_path / "a.safetensors")


def test_every_weight_of_the_unit_gets_a_gradient():
    ghcu = unit()
    ghcu(torch.rand(4, 68, 16, 16), torch.rand(4, 68) < 0.7).square().mean().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in ghcu.parameters())


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [("hidden_size", 0, "at least 1, found 0"), ("threshold", 1.5, r"lie in \[0, 1\], found 1.5"), ("threshold", -0.1, "found -0.1")],
)
def test_wrong_parameters_are_refused(name, value, reason):
    with pytest.raises(ValueError, match=reason):
        replace(PARAMETERS, **{name: value})


def test_the_small_detector_draws_maps_of_the_units_size():
    assert build("hgn").codec.size == 16
