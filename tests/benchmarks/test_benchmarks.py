import hashlib
from dataclasses import fields
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from benchmarks.landmarks import aligned, held, modes, turning
from benchmarks.photographs import aligned_differences, halves, jittered_box_crop, score
from benchmarks.render import VARIETY, milliseconds, sized, without
from benchmarks.scale import Costs, simulate
from benchmarks.sim2real import predict
from strrn.core.geometry import bounding_box
from strrn.core.landmarks import load_scheme
from strrn.data.sources.pts import LabelledImage
from strrn.render.parameters import LookParameters, RenderParameters
from strrn.stages.parameters import load_section
from tests.data.test_sources import write_pts


def test_variety_names_every_parameter_of_looks_once():
    defaults = load_section("render", RenderParameters)
    for name, changes in VARIETY.items():
        assert without(defaults, changes) != defaults, name
    assert sorted(key for changes in VARIETY.values() for key in changes.get("look", {})) == sorted(
        field.name for field in fields(LookParameters)
    )


def test_times_are_of_a_face(studio, tiny, monkeypatch):
    """A clock that shows one second for the eight faces of two identities in the fastest pass: an eighth of a second each."""
    parameters = sized(tiny, 64)
    assert parameters.stills.face_pixels == [32, 47] and parameters.stills.per_identity == 4
    monkeypatch.setattr("benchmarks.render.time.process_time", iter([10.0, 12.0, 20.0, 21.0, 30.0, 33.0]).__next__)
    assert milliseconds(studio, parameters, 5) == pytest.approx(125)


def test_faces_of_one_photograph_stay_in_one_half(tmp_path):
    points = np.arange(136).reshape(68, 2)
    names = ["afw/10_1", "afw/10_2", "afw/11_1", "helen/trainset/20_1", "helen/trainset/20_2"]
    for name in names:
        path = tmp_path / f"{name}.pts"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_pts(path, points)
        path.with_suffix(".png").touch()
    parts = [{str(face.path.relative_to(tmp_path).with_suffix("")) for face in part} for part in halves(tmp_path)]
    assert parts[0] | parts[1] == set(names)
    odd = {
        name: int(hashlib.sha1(key.encode()).hexdigest(), 16) % 2
        for name, key in zip(names, ["10", "10", "11", "20_1", "20_2"], strict=True)
    }
    assert all(name in parts[half] for name, half in odd.items())


def test_a_box_crop_is_upright_and_about_right():
    rng = np.random.default_rng(0)
    reference = rng.uniform(60, 250, (68, 2)).astype(np.float32)
    points = reference * 0.5 + 40
    scales, shifts = [], []
    for _ in range(400):
        transform = jittered_box_crop(points, reference, 315, rng)
        assert transform.b == 0
        scales.append(transform.scale / 2)
        shifts.append(transform.to_crop(points).mean(0) - reference.mean(0))
    side = np.sqrt(np.prod(np.ptp(bounding_box(reference).reshape(2, 2), 0)))
    assert np.std(np.log(scales)) == pytest.approx(0.05, rel=0.15)
    assert np.std(shifts, 0) == pytest.approx(0.05 * side, rel=0.15)


def test_modes_of_known_shapes():
    """Shapes that vary in one direction only: one mode holds everything, a foreign direction nothing."""
    rng = np.random.default_rng(1)
    base, direction = rng.normal(size=(68, 2)), np.zeros((68, 2))
    direction[8, 1] = 1.0
    shapes = base + rng.normal(size=(50, 1, 1)) * direction
    directions, spread = modes(shapes)
    assert held(shapes, directions[:1]) == pytest.approx(1.0)
    assert held(shapes, np.eye(136)[:1]) == pytest.approx(0.0)
    assert spread[0] == pytest.approx(np.std(shapes[:, 8, 1]))


def test_alignment_ignores_the_jaw():
    rng = np.random.default_rng(2)
    reference = rng.normal(size=(68, 2)) * 50
    moved = reference.copy()
    moved[:17] += 30
    eyes = np.linalg.norm(reference[36] - reference[45])
    assert aligned(moved[None] * 2 + 5, reference)[0, 17:] == pytest.approx(reference[17:] / eyes, abs=1e-4)


SCHEME = load_scheme("ibug68")


@pytest.fixture
def setting():
    """A reference shape that is its own mirror image, in a crop of 100 pixels."""
    half = np.random.default_rng(3).uniform(20, 80, (68, 2))
    shape = ((half + (half[list(SCHEME.mirror)] * [-1, 1] + [99, 0])) / 2).astype(np.float32)
    return SimpleNamespace(scheme=SCHEME, reference=SimpleNamespace(shape=shape, size=100))


def test_errors_are_in_eye_distances_of_the_upright_face(setting):
    """A face turned by a right angle, all points 3 px too far along its own x axis."""
    shape = setting.reference.shape.astype(np.float64)
    quarter = np.array([[0.0, -1.0], [1.0, 0.0]])
    truth = (2 * shape @ quarter.T + 500).astype(np.float32)
    wrong = truth + np.float32([3.0, 0.0]) @ quarter.T.astype(np.float32)
    differences = aligned_differences(wrong[None], [LabelledImage(None, truth)], setting.reference.shape, SCHEME)
    eyes = np.linalg.norm(truth[36] - truth[45])
    assert differences[0] == pytest.approx(np.tile([3 / eyes, 0], (68, 1)), abs=1e-5)


def test_the_offset_of_the_development_half_is_taken_off():
    check = np.zeros((10, 68, 2))
    check[:, :, 0] = 0.04
    check[:5, :17, 1] = 0.3
    result = score(check, np.tile([0.04, 0.0], (4, 68, 1)), SCHEME)
    assert result["plain"]["nme_inter_ocular_51"] == pytest.approx(0.04)
    assert result["without_offset"]["nme_inter_ocular_51"] == pytest.approx(0.0)
    assert result["without_offset"]["nme_inter_ocular_68"] == pytest.approx(0.3 * 17 / 68 / 2)
    assert result["plain"]["failure_rate_0.08_68"] == 0.5


def test_flip_averaging_removes_what_is_not_symmetric(setting, tmp_path):
    """A network that always says the reference shape moved to the right by 4 crop pixels: its mirror image moves it to the left."""

    class Stuck:
        stride = 1

        def detect(self, views):
            points = torch.from_numpy(setting.reference.shape + np.float32([4, 0]))
            return SimpleNamespace(points=points.expand(len(views), -1, -1))

    file = tmp_path / "face.png"
    cv2.imwrite(str(file), np.zeros((300, 300, 3), np.uint8))
    face = LabelledImage(file, setting.reference.shape * 2 + 30)
    plain, both = (predict(Stuck(), setting, [face], flip)[0] for flip in (False, True))
    # Without flips the second look starts 4 px off and goes 4 px on. The box is jittered, so only the two are compared.
    assert np.median(plain[:, 0] - both[:, 0]) == pytest.approx(8 * 2, abs=2.5)


def test_turning_finds_how_deep_a_landmark_lies():
    """Four points of a head that turns and nods; the nose tip stands out by 1, the two sides lie 0.5 and the chin 0.2 behind the axis."""
    rng = np.random.default_rng(0)
    places = np.zeros((31, 3))
    places[[0, 1]] = [[-1, 0, -0.5], [1, 0, -0.5]]
    places[2], places[30] = [0, 1, -0.2], [0, 0, 1.0]
    yaw, pitch = rng.normal(0, 0.3, 200), rng.normal(0, 0.1, 200)
    shapes = np.stack([places[:, 0] + places[:, 2] * yaw[:, None], places[:, 1] + places[:, 2] * pitch[:, None]], -1) + [3.0, 0.0]
    mode = turning(shapes, 3.0, [1, 0, *range(2, 31)])
    assert mode[[0, 1, 2, 30], 0] == pytest.approx([-0.5, -0.5, -0.2, 1.0], abs=1e-6)


def test_a_simulated_cluster_by_hand(monkeypatch):
    """Eight clips of a quarter of an hour, 25 frames/s at 50 frames/s: an eighth of an hour each."""
    monkeypatch.setattr("benchmarks.scale.SPREAD", 0.0)
    monkeypatch.setattr("benchmarks.scale.LIFE", 1e12)
    costs = Costs(frames_per_second=50, scheduler_seconds=0, read=0, written=0)
    assert simulate(costs, 2, 25, 1) == (pytest.approx(1.0), pytest.approx(1.0))
    assert simulate(costs, 2, 25, 2) == (pytest.approx(0.5), pytest.approx(1.0))
    assert simulate(costs, 2, 25, 3) == (pytest.approx(0.375), pytest.approx(8 / 9))
    # A scheduler that takes an eighth of an hour for a clip hands them out one after the other.
    slow = Costs(frames_per_second=50, scheduler_seconds=450, read=0, written=0)
    assert simulate(slow, 2, 25, 8) == (pytest.approx(9 / 8), pytest.approx(1 / 9))
    # The first worker dies after a tenth of an hour; its clip is done after the other's, and nobody waits for it.
    lives = iter([0.1, *[9.0] * 9])
    monkeypatch.setattr(
        "benchmarks.scale.np.random.default_rng",
        lambda seed: SimpleNamespace(standard_normal=lambda count: np.zeros(count), exponential=lambda life: next(lives)),
    )
    assert simulate(costs, 0.5, 25, 2) == (pytest.approx(0.225), pytest.approx(0.25 / 0.45))
