import math

import pytest
import torch

from strrn.core.landmarks import LandmarkScheme, load_scheme
from strrn.models.spatial import GeometryEncoding, GeometryRelation
from tests.models.small import reference_shape


def relation(encoding: GeometryEncoding) -> GeometryRelation:
    torch.manual_seed(0)
    return GeometryRelation(load_scheme("ibug68"), torch.from_numpy(reference_shape()), encoding, 8).eval()


def similar(points: torch.Tensor, degrees: float, scale: float) -> torch.Tensor:
    angle = math.radians(degrees)
    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return points @ turn.T * scale + torch.tensor([11.0, -7.0])


def test_signed_log_geometry_does_not_change_under_a_similarity():
    module, points = relation(GeometryEncoding.signed_log), torch.from_numpy(reference_shape())[None] + torch.randn(1, 68, 2)
    with torch.no_grad():
        torch.testing.assert_close(module(points), module(similar(points, 25, 1.7)), atol=1e-4, rtol=0)


def test_the_papers_log_geometry_does_change_under_a_similarity():
    module, points = relation(GeometryEncoding.log), torch.from_numpy(reference_shape())[None]
    with torch.no_grad():
        assert (module(points) - module(similar(points, 25, 1.7))).abs().max() > 0.1


def test_pairs_are_all_partners_of_the_component_and_the_root():
    # Paper: N x (N + 1) pairs of a component of N points. Here n = m is replaced by the root: N x N rows, every landmark has N of them.
    scheme = load_scheme("ibug68")
    module = relation(GeometryEncoding.signed_log)
    assert len(module.first) == sum(len(members) ** 2 for members in scheme.components.values()) == 17**2 + 2 * 11**2 + 9**2 + 20**2
    torch.testing.assert_close(module.average.sum(1), torch.ones(68))
    mouth = set(scheme.components["mouth"])
    partners = {int(n) for m, n in zip(module.first, module.second, strict=True) if int(m) == 48}
    assert partners == (mouth - {48}) | {scheme.root}


def test_distance_is_that_of_the_scheme():
    scheme, points = load_scheme("ibug68"), torch.from_numpy(reference_shape())[None]
    measured = relation(GeometryEncoding.signed_log).distance(points)
    assert measured.item() == pytest.approx(float(scheme.distance(points.numpy())[0]), abs=1e-4)


def test_a_scheme_without_eyes_works():
    scheme = LandmarkScheme(
        name="box",
        names=("a", "b", "c"),
        mirror=(1, 0, 2),
        components={"all": (0, 1, 2)},
        edges=((0, 1),),
        root=2,
        normalisers={"width": ((0,), (1,))},
        subsets={},
    )
    shape = torch.tensor([[10.0, 10.0], [40.0, 10.0], [25.0, 40.0]])
    module = GeometryRelation(scheme, shape, GeometryEncoding.signed_log, 4)
    assert module(shape[None]).shape == (1, 3, 4)
    assert module.distance(shape[None]).item() == pytest.approx(30)
