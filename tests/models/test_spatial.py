import math

import torch

from strrn.core.landmarks import LandmarkScheme, load_scheme
from strrn.models.spatial import CanonicalFrame, GeometryEncoding, GeometryRelation
from tests.models.small import reference_shape

SCHEME = load_scheme("ibug68")
FRAME = CanonicalFrame(torch.from_numpy(reference_shape()))


def relation(encoding: GeometryEncoding) -> GeometryRelation:
    torch.manual_seed(0)
    return GeometryRelation(SCHEME, encoding, float(SCHEME.distance(reference_shape())), 8).eval()


def features(module: GeometryRelation, points: torch.Tensor) -> torch.Tensor:
    return module(points, FRAME(points)[0])


def similar(points: torch.Tensor, degrees: float, scale: float) -> torch.Tensor:
    angle = math.radians(degrees)
    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return points @ turn.T * scale + torch.tensor([11.0, -7.0])


def test_signed_log_geometry_does_not_change_under_a_similarity():
    module, points = relation(GeometryEncoding.signed_log), torch.from_numpy(reference_shape())[None] + torch.randn(1, 68, 2)
    with torch.no_grad():
        torch.testing.assert_close(features(module, points), features(module, similar(points, 25, 1.7)), atol=1e-4, rtol=0)


def test_the_papers_log_geometry_does_change_under_a_similarity():
    module, points = relation(GeometryEncoding.log), torch.from_numpy(reference_shape())[None]
    with torch.no_grad():
        assert (features(module, points) - features(module, similar(points, 25, 1.7))).abs().max() > 0.1


def test_pairs_are_all_partners_of_the_component_and_the_root():
    # Paper: N x (N + 1) pairs of a component of N points. Here n = m is replaced by the root: N x N rows, every landmark has N of them.
    scheme = SCHEME
    module = relation(GeometryEncoding.signed_log)
    assert len(module.first) == sum(len(members) ** 2 for members in scheme.components.values()) == 17**2 + 2 * 11**2 + 9**2 + 20**2
    torch.testing.assert_close(module.average.sum(1), torch.ones(68))
    mouth = set(scheme.components["mouth"])
    partners = {int(n) for m, n in zip(module.first, module.second, strict=True) if int(m) == 48}
    assert partners == (mouth - {48}) | {scheme.root}


def test_the_canonical_frame_undoes_a_similarity_and_names_it():
    reference = torch.from_numpy(reference_shape())[None]
    canonical, linear = FRAME(similar(reference, 25, 1.7))
    torch.testing.assert_close(canonical[0], FRAME.reference, atol=1e-4, rtol=0)
    turn = math.radians(25)
    expected = 1.7 * torch.tensor([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    torch.testing.assert_close(linear[0], expected, atol=1e-5, rtol=0)


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
    module = GeometryRelation(scheme, GeometryEncoding.signed_log, 30.0, 4)
    assert module(shape[None], CanonicalFrame(shape)(shape[None])[0]).shape == (1, 3, 4)
