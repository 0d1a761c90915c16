"""A teacher that absorbs its student, self-training with a growing set, and every arm from start to file."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch

from strrn.data.augmentation import AugmentationParameters
from strrn.data.unlabelled import Frame, FrameDataset, unlabelled_frames
from strrn.models import checkpoint
from strrn.training.detector import Normaliser, detector_step
from strrn.training.self_training import GrowingSet, SelfTrainingParameters
from strrn.training.teacher import RecursiveMean, TeacherAndStudent
from strrn.training.tsal import CONTROLS, Arm, Source, TSALParameters, found_by_sources, tracked, train_tsal, tsal_step
from tests.models.small import SIZE, build, header, reference_shape
from tests.training.material import SCHEME, draw, loop, setting, track, write_stills

ALL = list(Source)
PARAMETERS = TSALParameters(weight=1.0, ramp=0, tau=0.03, batch_size=3, radius=3, iterations=5, max_return=0.2)
VIEW = AugmentationParameters(5.0, 0.05, 0.02, True, 0.3, 0.1, 1.0, 3, 2.0, 0.8, 0.1)
GROWING = SelfTrainingParameters(stages=2, final_share=0.5)
ARMS = {"asynchronous": Arm(3, 0.5, True, ALL), "mean_teacher": Arm(1, 0.1, False, [Source.detection])}
MIRROR = torch.tensor(SCHEME.mirror)


def shaken(module: torch.nn.Module, seed: int) -> None:
    """Another network of the same structure, running statistics and counters included."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for values in module.state_dict().values():
            values.add_(torch.rand(values.shape, generator=generator) if values.is_floating_point() else 1)


def floating(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: values.clone() for name, values in module.state_dict().items() if values.is_floating_point()}


def test_the_recursive_mean_is_the_plain_mean_of_the_queue():
    random, mean = torch.Generator().manual_seed(0), RecursiveMean(4)
    snapshots = [{"a": torch.randn(5, generator=random), "b": torch.randn((), generator=random)} for _ in range(11)]
    for number, snapshot in enumerate(snapshots, 1):
        found = mean.push(snapshot)
        last = snapshots[max(0, number - 4) : number]
        for name in snapshot:
            torch.testing.assert_close(found[name], torch.stack([one[name] for one in last]).mean(0), rtol=1e-5, atol=1e-6)
    assert len(mean.snapshots) == 4


def test_a_snapshot_is_a_copy():
    mean, values = RecursiveMean(2), torch.zeros(3)
    mean.push({"a": values})
    values += 5
    assert mean.push({"a": values})["a"].tolist() == [2.5] * 3


@pytest.mark.parametrize("name", ["mdm", "hgn"])
def test_with_a_queue_of_one_and_all_of_it_the_teacher_is_the_student(name):
    pair = TeacherAndStudent(build(name), queue=1, rate=1.0, own_step=True)
    for seed in range(5):
        shaken(pair.student, seed)
        shaken(pair.teacher, seed + 100)
        pair.absorb()
        for key, values in pair.student.state_dict().items():
            torch.testing.assert_close(pair.teacher.state_dict()[key], values, rtol=1e-5, atol=1e-6)


def test_with_a_queue_of_one_the_teacher_is_an_exponential_average_of_weights_and_running_statistics():
    pair = TeacherAndStudent(build("hgn"), queue=1, rate=0.25, own_step=False)
    expected = floating(pair.teacher)
    for seed in range(4):
        shaken(pair.student, seed)
        pair.absorb()
        expected = {name: 0.75 * expected[name] + 0.25 * values for name, values in floating(pair.student).items()}
    assert any("running_var" in name for name in expected)
    for name, values in floating(pair.teacher).items():
        torch.testing.assert_close(values, expected[name], rtol=1e-5, atol=1e-6)


def test_the_teacher_moves_towards_the_mean_of_the_last_snapshots():
    pair = TeacherAndStudent(build("mdm"), queue=2, rate=0.5, own_step=True)
    start, seen = floating(pair.teacher), []
    for seed in range(2):
        shaken(pair.student, seed)
        seen.append(floating(pair.student))
        pair.absorb()
    for name, values in floating(pair.teacher).items():
        first = (start[name] + seen[0][name]) / 2
        torch.testing.assert_close(values, (first + (seen[0][name] + seen[1][name]) / 2) / 2, rtol=1e-5, atol=1e-6)


def test_teaching_changes_no_running_statistics_and_uses_them():
    pair = TeacherAndStudent(build("hgn"), 1, 0.1, True).train()
    images = torch.rand(2, 3, SIZE // pair.stride, SIZE // pair.stride)
    before = deepcopy(pair.teacher.state_dict())
    alone, together = pair.teach(images[:1]), pair.teach(images)
    torch.testing.assert_close(alone, together[:1], atol=1e-3, rtol=0)
    assert all(torch.equal(values, before[name]) for name, values in pair.teacher.state_dict().items())
    assert pair.teacher.training


def batch(count: int = 3, labelled: int = 2) -> dict[str, torch.Tensor]:
    frames = FrameDataset(unlabelled_frames([draw(reference_shape())], [track(4)]), 0, VIEW)
    samples = torch.utils.data.default_collate([frames[(0, i)] for i in range(count)])
    images = torch.randint(0, 256, (labelled, SIZE, SIZE, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    points = torch.from_numpy(reference_shape()).expand(labelled, -1, -1).clone()
    stills = {"images": images, "points": points, "valid": torch.ones(labelled, 68, dtype=torch.bool)}
    return stills | {f"pair_{name}": values for name, values in samples.items()}


LABELLED = detector_step(Normaliser(SCHEME), 20.0)


def at_stride(samples: dict[str, torch.Tensor], stride: int) -> dict[str, torch.Tensor]:
    pictures = {name for name in samples if samples[name].dim() == 4}
    return {name: values[:, ::stride, ::stride] if name in pictures else values for name, values in samples.items()}


@pytest.mark.parametrize("name", ["mdm", "hgn"])
@pytest.mark.parametrize("arm", [Arm(3, 0.5, True, ALL), Arm(1, 0.1, False, [Source.detection])])
def test_the_student_learns_from_all_and_the_teacher_from_labels_alone(name, arm):
    pair = TeacherAndStudent(build(name), arm.queue, arm.rate, arm.own_step).train()
    step = tsal_step(LABELLED, arm, PARAMETERS, SCHEME.mirror, 20.0)
    terms = step(pair, at_stride(batch(), pair.stride))
    assert ("teacher_points" in terms) == arm.own_step and ("consistency_heatmaps" in terms) == (name == "hgn")
    terms["consistency"].backward(retain_graph=True)
    assert all(p.grad is None for p in pair.teacher.parameters())
    assert sum(float(p.grad.abs().sum()) for p in pair.student.parameters() if p.grad is not None) > 0
    pair.zero_grad()
    sum(terms.values()).backward()
    assert all((p.grad is not None) == arm.own_step for p in pair.teacher.parameters())
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in pair.student.parameters())


def test_the_ramp_holds_the_unlabelled_loss_back():
    values = {}
    for ramp in (0, 100):
        pair = TeacherAndStudent(build("mdm"), 1, 0.1, True).train()
        step = tsal_step(LABELLED, ARMS["asynchronous"], replace(PARAMETERS, ramp=ramp), SCHEME.mirror, 20.0)
        values[ramp] = step(pair, at_stride(batch(), pair.stride))["consistency"].item()
    # The first of 100 steps: exp(-5 * 0.99^2).
    assert values[100] == pytest.approx(values[0] * np.exp(-5 * 0.99**2), rel=1e-4) and values[0] > 0


class Painted(torch.nn.Module):
    """A teacher that finds the bright pixel's place for every landmark, exact for a mirrored picture, too."""

    stride = 1

    def teach(self, images):
        values = images.mean(1)
        steps = torch.arange(values.shape[-1], dtype=torch.float32)
        weights = (values - values.amin((1, 2), keepdim=True)).pow(8)
        total = weights.sum((1, 2))
        point = torch.stack([(weights.sum(1) * steps).sum(1) / total, (weights.sum(2) * steps).sum(1) / total], -1)
        return point[:, None].repeat(1, 68, 1)


def test_sources_agree_on_a_face_that_moves():
    def spot(x: float, y: float) -> torch.Tensor:
        rows, columns = torch.meshgrid(torch.arange(48.0), torch.arange(48.0), indexing="ij")
        return (255 * torch.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 18)).to(torch.uint8)[None, ..., None].repeat(1, 1, 1, 3)

    frames = {"images": spot(22.5, 20.0), "before": spot(21.0, 20.5), "moves": torch.tensor([True])}
    found, known = found_by_sources(Painted(), frames, ALL, MIRROR, PARAMETERS, 20.0)
    assert found.shape == (3, 1, 68, 2) and known.all()
    for points in found:  # the tracked one started from (21, 20.5)
        np.testing.assert_allclose(points[0], np.broadcast_to([22.5, 20.0], (68, 2)), atol=0.15)
    _, known = found_by_sources(Painted(), frames | {"moves": torch.tensor([False])}, ALL, MIRROR, PARAMETERS, 20.0)
    assert known.all(-1).flatten().tolist() == [True, True, False]


def test_tracking_that_does_not_return_says_nothing():
    noise = torch.rand((2, 3, 40, 40), generator=torch.Generator().manual_seed(0))
    points = torch.full((1, 4, 2), 20.0) + torch.arange(4)[None, :, None]
    same, passed = tracked(noise[:1], noise[:1], points, 1, PARAMETERS, 20.0)
    assert passed.all()
    torch.testing.assert_close(same, points)
    assert not tracked(noise[:1], noise[1:], points, 1, replace(PARAMETERS, max_return=1e-4), 20.0)[1].any()


class Sure(torch.nn.Module):
    """Surest of the brightest picture."""

    stride = 1

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, images):
        brightness = images.mean((1, 2, 3))
        return brightness[:, None, None].expand(-1, 68, 2), brightness[:, None].expand(-1, 68)


def test_the_set_of_pseudo_labels_grows_from_the_most_confident():
    import cv2

    order = [3, 0, 7, 5, 1, 6, 2, 4]
    frames = [Frame(cv2.imencode(".png", np.full((8, 8, 3), 30 * level, np.uint8))[1].tobytes()) for level in order]
    growing = GrowingSet(frames, SelfTrainingParameters(stages=2, final_share=0.5), num_epochs=5)
    assert [epoch for epoch in range(5) if growing.grows(epoch)] == [0, 2]
    model = Sure().train()
    first, last = growing.chosen(model, 0), growing.chosen(model, 2)
    assert first.images == [frames[i].image for i in (2, 5)]
    assert last.images == [frames[i].image for i in (2, 5, 3, 7)] and last.valid.all()
    assert first.points[:, 0, 0].tolist() == pytest.approx([210 / 255, 180 / 255]) and model.training


@pytest.mark.parametrize(
    ("parameters", "epochs", "reason"),
    [((4, 0.5), 3, "in 4 stages needs as many epochs, found 3"), ((4, 0.1), 8, "of 8 unlabelled frames the first of 4 stages gets none")],
)
def test_stages_that_cannot_be_are_refused(parameters, epochs, reason):
    with pytest.raises(ValueError, match=reason):
        GrowingSet([Frame(b"")] * 8, SelfTrainingParameters(*parameters), epochs)


@pytest.mark.parametrize("name", ["mdm", "hgn"])
def test_every_arm_goes_on_from_the_start_for_as_many_steps(name, tmp_path):
    write_stills(tmp_path)
    settings = loop(num_batches=2, average=0.5)

    def run(folder: str) -> None:
        train_tsal(setting(), header(name), tmp_path, [track(6)], 0.5, PARAMETERS, VIEW, GROWING, ARMS, loop(), settings, tmp_path / folder)

    run("a")
    names = [*CONTROLS, *ARMS]
    assert sorted(file.stem for file in (tmp_path / "a").glob("*.safetensors")) == sorted(names)
    hashes = {}
    for arm in names:
        model, read = checkpoint.load(tmp_path / "a" / f"{arm}.safetensors")
        hashes[arm] = checkpoint.weights_hash(model)
        assert read["round"] == "tsal" and read["architecture"] == name
        log = (tmp_path / "a" / f"{arm}.log.csv").read_text()
        assert ("consistency" in log) == (arm in ARMS) and ("teacher_points" in log) == (arm == "asynchronous")
    assert len(set(hashes.values())) == len(names)
    if name == "mdm":
        run("b")
        again = {arm: checkpoint.weights_hash(checkpoint.load(tmp_path / "b" / f"{arm}.safetensors")[0]) for arm in names}
        assert again == hashes


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: Arm(0, 0.1, True, ALL), "queue must be at least 1, found 0"),
        (lambda: Arm(1, 0.0, True, ALL), r"rate must lie in \(0, 1\], found 0.0"),
        (lambda: Arm(1, 1.5, True, ALL), r"rate must lie in \(0, 1\], found 1.5"),
        (lambda: Arm(1, 0.1, True, []), "sources must be some of"),
        (lambda: Arm(1, 0.1, True, [Source.detection, Source.detection]), "each once"),
        (lambda: Arm(1, 0.1, True, [Source.mirrored]), "sources must hold `detection`"),
        (lambda: replace(PARAMETERS, tau=0.0), "tau must be positive, found 0.0"),
        (lambda: replace(PARAMETERS, weight=-1.0), "weight must be positive"),
        (lambda: replace(PARAMETERS, ramp=-1), "ramp must not be negative"),
        (lambda: replace(PARAMETERS, batch_size=0), "batch_size must be at least 1"),
        (lambda: SelfTrainingParameters(0, 0.5), "stages must be at least 1"),
        (lambda: SelfTrainingParameters(2, 1.5), r"final_share must lie in \(0, 1\], found 1.5"),
    ],
)
def test_wrong_parameters_are_refused(make, reason):
    with pytest.raises(ValueError, match=reason):
        make()


@pytest.mark.parametrize(
    ("arms", "changes", "reason"),
    [
        ({}, {}, "tsal.arms names no arm"),
        ({"supervised": ARMS["mean_teacher"]}, {}, "'supervised' is the name of a control"),
        (ARMS, {"num_batches": 0}, "num_batches of tsal.detector must be at least 1"),
    ],
)
def test_a_run_that_cannot_be_is_refused_before_anything_is_read(arms, changes, reason, tmp_path):
    settings = loop(**{"num_batches": 2, **changes})
    with pytest.raises(ValueError, match=reason):
        train_tsal(setting(), header("mdm"), tmp_path, [], 0.5, PARAMETERS, VIEW, GROWING, arms, loop(), settings, tmp_path)


def test_stages_of_self_training_that_cannot_be_are_refused_before_anything_is_trained(tmp_path):
    write_stills(tmp_path)
    settings, growing = loop(num_batches=2), SelfTrainingParameters(5, 0.5)
    with pytest.raises(ValueError, match="in 5 stages needs as many epochs, found 2"):
        train_tsal(setting(), header("mdm"), tmp_path, [], 0.5, PARAMETERS, VIEW, growing, ARMS, loop(), settings, tmp_path / "out")
    assert not (tmp_path / "out").exists()
