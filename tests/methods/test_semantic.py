"""The search for what an annotation meant: its parts worked out by hand, and noise that it recovers from ideal heatmaps."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from strrn.methods.semantic import (
    FLOOR,
    SIDE,
    SearchParameters,
    ideal_patch,
    log_likelihood,
    log_prior,
    search,
    window_likelihood,
    window_offsets,
)
from strrn.models.hourglass import HeatmapCodec

PARAMETERS = SearchParameters(annotation_sigma=0.1, across=1.0, heatmap_sigma=0.3, resolution=2, patch_radius=3, cap=0.3, mirrored=False)
SIGMA = 1.5
CODEC = HeatmapCodec(crop_size=256, size=64, sigma=SIGMA)
NOWHERE = torch.tensor(float("nan"))  # no direction
DISTANCE = torch.tensor([20.0])  # d in cells


def drawn(points_heatmap: torch.Tensor) -> torch.Tensor:
    return CODEC.encode(CODEC.to_crop(points_heatmap))


def test_the_prior_is_minus_the_squared_distance_over_twice_the_variance():
    # (3, 4) is 5 away: 25 / (2 * 4) = 3.125.
    assert log_prior(torch.tensor([[3.0, 4.0], [0.0, 0.0]]), 2.0).tolist() == [-3.125, 0.0]


def test_off_its_line_a_landmark_is_less_likely():
    offsets = torch.tensor([[3.0, 4.0], [3.0, 4.0], [-4.0, 3.0]])
    directions = torch.tensor([[0.6, 0.8], [float("nan")] * 2, [0.6, 0.8]])
    # 5 along it; no line; 5 across it, which counts twice as far: 25, 25 and 100, over 2 * 4.
    assert log_prior(offsets, 2.0, directions, 0.5).tolist() == pytest.approx([-3.125, -3.125, -12.5], rel=1e-6)


def test_a_search_along_a_line_stays_near_it():
    peak = torch.tensor([[[30.0, 25.0]]])
    annotated, along = peak + torch.tensor([2.0, 1.0]), torch.tensor([[[1.0, 0.0]]])
    found = search(drawn(peak), annotated, along, DISTANCE, SIGMA, replace(PARAMETERS, across=1e-3))
    assert abs(found[0, 0, 1] - 26) < 1e-2 and 29 < found[0, 0, 0] < 31
    everywhere = search(drawn(peak), annotated, along, DISTANCE, SIGMA, replace(PARAMETERS, annotation_sigma=100.0))
    torch.testing.assert_close(everywhere, peak, atol=0.05, rtol=0)


def test_the_ideal_patch_is_a_gaussian_with_a_floor():
    patch = ideal_patch(1, 0.5)
    # Neighbours exp(-0.5 / 0.25) = exp(-2), corners exp(-4) = 0.0183; with sigma 0.3 the corners, exp(-11.1), are below the floor.
    expected = [math.exp(-4), math.exp(-2), math.exp(-4)]
    np.testing.assert_allclose(patch, [expected, [math.exp(-2), 1.0, math.exp(-2)], expected], rtol=1e-6)
    assert ideal_patch(1, 0.3)[0, 0].item() == pytest.approx(FLOOR)


def test_the_likelihood_is_pearsons_chi_square():
    ideal = torch.tensor([[0.01, 0.5, 0.01], [0.5, 1.0, 0.5], [0.01, 0.5, 0.01]])
    found = ideal.clone()
    found[1, 1], found[0, 1], found[2, 2] = 0.4, 1.0, 0.11
    # 0.6^2 / 1 + 0.5^2 / 0.5 + 0.1^2 / 0.01 = 0.36 + 0.5 + 1 = 1.86; over 2 * 0.5^2.
    assert log_likelihood(found, ideal, 0.5).item() == pytest.approx(-3.72, rel=1e-5)
    assert log_likelihood(ideal, ideal, 0.5).item() == 0


def test_all_candidates_at_once_have_the_likelihood_of_each_patch_cut_out_alone():
    heatmaps = torch.rand(2, 3, 20, 24, generator=torch.Generator().manual_seed(0)) - 0.2
    annotated = torch.tensor([[4.3, 5.0], [21.9, 18.2], [10.0, 9.5]]).expand(2, -1, -1)  # two of them with windows that leave the map
    ideal, resolution = ideal_patch(2, SIGMA), 3
    found = window_likelihood(heatmaps, annotated, ideal, 0.7, resolution)
    offsets, cells = window_offsets(1 / resolution), window_offsets(1.0, 5)

    def value(image: np.ndarray, x: float, y: float) -> float:
        left, top = math.floor(x), math.floor(y)
        corners = [(left + i, top + j, abs(1 - i - (x - left)) * abs(1 - j - (y - top))) for i in (0, 1) for j in (0, 1)]
        return sum(w * image[v, u] for u, v, w in corners if 0 <= u < image.shape[1] and 0 <= v < image.shape[0])

    for batch, landmark, row, column in [(0, 0, 0, 0), (1, 1, 16, 16), (1, 2, 8, 8), (0, 2, 3, 11), (1, 0, 5, 2)]:
        image = heatmaps[batch, landmark].clamp(min=0).numpy()
        middle = annotated[batch, landmark] + offsets[row, column]
        patch = [[value(image, *(middle + cells[j, i]).tolist()) for i in range(5)] for j in range(5)]
        expected = log_likelihood(torch.tensor(patch), ideal, 0.7).item()
        assert found[batch, landmark, row, column].item() == pytest.approx(expected, rel=1e-4)


def test_where_the_heatmap_says_nothing_the_annotation_stays():
    annotated = torch.tensor([[[20.3, 31.8], [5.0, 60.2]]])
    torch.testing.assert_close(
        search(torch.zeros(1, 2, 64, 64), annotated, NOWHERE.expand_as(annotated), DISTANCE, SIGMA, PARAMETERS), annotated
    )


@pytest.mark.parametrize("resolution", [1, 2, 4])
def test_a_weak_prior_leads_to_the_peak_within_a_fiftieth_of_a_cell(resolution):
    peak = torch.tensor([[[30.27, 25.61], [12.5, 40.0]]])
    annotated = peak + torch.tensor([[1.3, -0.8], [-1.0, 1.5]])
    parameters = replace(PARAMETERS, annotation_sigma=100.0, resolution=resolution)
    torch.testing.assert_close(
        search(drawn(peak), annotated, NOWHERE.expand_as(annotated), DISTANCE, SIGMA, parameters), peak, atol=0.05, rtol=0
    )


def test_a_strong_prior_keeps_the_annotation():
    peak = torch.tensor([[[30.0, 25.0]]])
    annotated = peak + torch.tensor([2.0, 0.0])
    found = search(drawn(peak), annotated, NOWHERE.expand_as(annotated), DISTANCE, SIGMA, replace(PARAMETERS, annotation_sigma=1e-4))
    torch.testing.assert_close(found, annotated, atol=1e-2, rtol=0)


def test_no_landmark_moves_beyond_the_cap():
    peak = torch.tensor([[[30.0, 25.0], [30.0, 25.0], [30.0, 25.0]]])
    annotated = peak + torch.tensor([[3.5, 0.0], [2.5, 2.5], [1.0, 0.0]])
    parameters = replace(PARAMETERS, annotation_sigma=100.0, cap=0.1)  # 2 of 20 cells
    moved = torch.linalg.vector_norm(
        search(drawn(peak), annotated, NOWHERE.expand_as(annotated), DISTANCE, SIGMA, parameters) - annotated, dim=-1
    )[0]
    assert moved.max() <= 2 + 1e-4 and moved[0] > 1.5 and moved[1] > 1.5
    assert moved[2].item() == pytest.approx(1.0, abs=0.05)


def test_known_noise_along_a_line_is_recovered_nearly_whole_from_ideal_heatmaps():
    random = np.random.default_rng(0)
    truth = torch.from_numpy(random.uniform(12, 52, (8, 17, 2))).float()
    noise = random.normal(size=(8, 17, 1)) * [0.8, 0.6]  # 1 cell = 0.05 d, along one direction
    annotated = truth + torch.from_numpy(noise).float()
    parameters = replace(PARAMETERS, annotation_sigma=0.05)
    found = search(drawn(truth), annotated, NOWHERE.expand_as(annotated), DISTANCE.expand(8), SIGMA, parameters)

    def rms(points: torch.Tensor) -> float:
        return (points - truth).square().sum(-1).mean().sqrt().item()

    assert 0.8 < rms(annotated) < 1.2
    assert 1 - rms(found) / rms(annotated) > 0.9


def test_the_window_is_seventeen_candidates_wide():
    offsets = window_offsets(0.5)
    assert offsets.shape == (SIDE, SIDE, 2) and SIDE == 17
    assert offsets[8, 8].tolist() == [0, 0] and offsets[0, 16].tolist() == [4, -4]


@pytest.mark.parametrize("name", ["annotation_sigma", "across", "heatmap_sigma", "cap", "resolution", "patch_radius"])
def test_wrong_parameters_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be .*, found 0"):
        replace(PARAMETERS, **{name: 0})
