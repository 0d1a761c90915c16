"""Errors on stills as they are and behind boxes, and a corrected detector in the tracking loop's hands."""

import cv2
import numpy as np
import pytest
import torch

from strrn.data.datasets import LabelledCrops
from strrn.evaluation.corrected import corrected_models
from strrn.evaluation.hidden import hidden_scores, still_scores
from strrn.models import checkpoint
from strrn.models.ghcu import GHCUParameters, build_corrected, corrected_header
from tests.models.small import SIZE, build, header, reference_shape
from tests.training.material import SCHEME

GREY = 90


class Blind(torch.nn.Module):
    """Finds the reference shape; in a crop that is not all grey, where something is in front, 3 px to the right of it."""

    stride = 1

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        covered = (images - GREY / 255).abs().amax((1, 2, 3)) > 0.05
        points = torch.from_numpy(reference_shape()) + 3.0 * covered[:, None, None] * torch.tensor([1.0, 0.0])
        return points, torch.ones(len(images), 68)


def crops(count: int = 5) -> LabelledCrops:
    image = cv2.imencode(".png", np.full((SIZE, SIZE, 3), GREY, np.uint8))[1].tobytes()
    points = np.repeat(reference_shape()[None], count, 0)
    points[:, 30] += (3, 4)  # the detector is 5 px off at one of 68
    return LabelledCrops([image] * count, points, np.ones((count, 68), bool))


def test_errors_on_stills_are_means_over_landmarks_by_every_normaliser():
    scores = still_scores(Blind(), crops(), SCHEME)
    shape = reference_shape()
    expected = {f"nme_{name}": 5 / 68 / float(SCHEME.distance(shape, name)) for name in SCHEME.normalisers}
    assert scores == pytest.approx(expected, rel=1e-4)


def test_behind_a_box_only_hidden_landmarks_count():
    labelled = crops()
    labelled.points[:, 30], labelled.valid[:, 30] = np.nan, False  # the other one at which the detector errs
    scores = hidden_scores(Blind(), labelled, SCHEME, 0)
    three = 3 / float(SCHEME.distance(reference_shape()))
    assert scores == pytest.approx({"random_box_nme_inter_pupil": three, "mouth_nme_inter_pupil": three}, rel=1e-4)


def test_the_loop_gets_the_corrected_detector(tmp_path):
    described = corrected_header(header("hgn"), GHCUParameters(hidden_size=8, threshold=1.0))
    torch.manual_seed(0)
    model = build_corrected(described).eval()
    torch.nn.init.normal_(model.ghcu.layers[-1].weight, std=0.1)
    checkpoint.save(tmp_path / "detector.safetensors", model.detector, header("hgn"))
    checkpoint.save(tmp_path / "corrected.safetensors", model, described)
    checkpoint.save(tmp_path / "tracker.safetensors", build("strrn"), header("strrn"))
    models = corrected_models(*(tmp_path / f"{name}.safetensors" for name in ("detector", "corrected", "tracker")))
    side = SIZE // models.stride
    (crop,) = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), np.uint8)
    points, _ = models.detect([crop])
    from strrn.models.pixels import network_input

    with torch.no_grad():
        images = network_input([crop], model.stride // models.stride)
        expected, plain = model(images)[0].numpy(), model.detector(images)[0].numpy()
    np.testing.assert_allclose(points, expected, atol=1e-4)
    assert not np.allclose(points, plain, atol=0.1)
