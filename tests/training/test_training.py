"""Pretraining, mining and distillation of small networks on faces of dots."""

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as parquet
import pytest
import torch

from strrn.core.tables import detections_schema, pseudo_labels_schema, read_table
from strrn.data.datasets import Batches, LabelledCrops, PairDataset, StillDataset, load_track, load_track_frames
from strrn.methods.selection import Gate, Selection, ThresholdKind
from strrn.methods.trajectory import TrajectoryParameters
from strrn.models import checkpoint
from strrn.training.detector import Normaliser
from strrn.training.distil import DistilParameters, TrackerData, distil, kept_pairs, pseudo_labelled_crops, round_seed
from strrn.training.mining import MineParameters, follow_tracks, mine, run_track
from strrn.training.pretrain import pretrain
from strrn.training.tracker import SyntheticVideos, cycle_losses, ensemble_step, tracker_error
from tests.models.small import build, header, reference_shape
from tests.training.material import SCHEME, loop, setting, track, write_stills, write_track

TRAJECTORY = TrajectoryParameters(shape_frames=2.0, motion_frames=2.0, deviation=0.05, min_support=0.3)
EVERYTHING = MineParameters(
    threshold=1.0,
    threshold_kind=ThresholdKind.quantile,
    selection=Selection.co_training,
    gate=Gate.frame,
    min_landmarks=0.5,
    mirror=False,
    workers=1,
)


class Constant(torch.nn.Module):
    """A tracker that always answers the same shape, or moves its start by an offset."""

    stride = 1
    appearance_memory = False

    def __init__(self, offset: float) -> None:
        super().__init__()
        self.offset = offset

    def remember(self, reduced, points):
        return None

    def step(self, reduced, starts, memory=None, through=False):
        return starts + self.offset

    def forward(self, reduced, starts, reduced_before, points_before):
        return self.step(reduced, starts)


class Fixed(torch.nn.Module):
    """A detector that sees the reference shape everywhere."""

    stride = 1

    def forward(self, images):
        points = torch.from_numpy(reference_shape()).expand(len(images), -1, -1)
        return points, torch.ones(len(images), 68)


def runner(detector, tracker):
    """What `mine` is given: the paths of tracks."""
    return lambda tracks: [run_track(detector, tracker, one, temporal=True) for one in tracks]


@pytest.mark.parametrize("name", ["mdm", "hgn", "strrn"])
def test_pretraining_twice_gives_the_same_weights_whatever_the_workers(name, tmp_path):
    write_stills(tmp_path)
    for run, workers in (("a", 1), ("b", 3)):
        pretrain(setting(), header(name), tmp_path, loop(workers=workers), tmp_path / run / "model.safetensors")
    first, second = (checkpoint.load(tmp_path / run / "model.safetensors")[0] for run in ("a", "b"))
    assert checkpoint.weights_hash(first) == checkpoint.weights_hash(second)
    other = tmp_path / "c" / "model.safetensors"
    pretrain(setting(seed=1), header(name), tmp_path, loop(), other)
    assert checkpoint.weights_hash(checkpoint.load(other)[0]) != checkpoint.weights_hash(first)
    assert (tmp_path / "a" / "model.log.csv").read_text().startswith("epoch,name,value\n0,")


def test_no_stills_is_an_error_that_says_where_to_look(tmp_path):
    write_stills(tmp_path, count=0)
    with pytest.raises(ValueError, match=r"stills_train.parquet holds no crops: see data/crops/rejected.jsonl"):
        pretrain(setting(), header("mdm"), tmp_path, loop(), tmp_path / "model.safetensors")


def test_an_epoch_sees_every_sample_once_and_epochs_differ():
    stills = LabelledCrops([b""] * 10, np.zeros((10, 68, 2), np.float32), np.ones((10, 68), bool))
    batches = Batches(StillDataset(stills, SCHEME, 0, None, None), 5, seed=3, workers=1)
    first = batches.keys()
    assert sorted(index for batch in first for _, index in batch) == list(range(10))
    batches.epoch = 1
    assert batches.keys() != first
    more = Batches(StillDataset(stills, SCHEME, 0, None, None), 5, seed=3, workers=1, num_batches=4).keys()
    assert len({key for batch in more for key in batch}) == 20  # no view twice


def test_paths_of_a_track_go_through_the_frame():
    # The tracker adds (2, 2) in the crop; the crops move by half a pixel to the right in every frame.
    paths = run_track(Fixed(), Constant(2.0), track(3), temporal=True)
    reference = reference_shape()
    np.testing.assert_allclose(paths.detected[1], reference, atol=1e-4)
    np.testing.assert_allclose(paths.tracked[1], reference + (1.5, 2.0), atol=1e-3)  # -0.5 into the next crop, + 2
    np.testing.assert_allclose(paths.back_from_detection[1], reference + (2.5, 2.0), atol=1e-3)
    np.testing.assert_allclose(paths.back_from_track[1], reference + (4.0, 4.0), atol=1e-3)
    assert np.isnan(paths.tracked[0]).all()


def test_detections_can_be_the_mean_with_those_of_the_mirror_image():
    paths = run_track(Fixed(), Constant(0.0), track(3), temporal=True, mirror=SCHEME)
    reference = reference_shape()  # symmetric but for the order of its points
    other_way = reference[list(SCHEME.mirror)] * np.float32([-1, 1]) + np.float32([63, 0])
    np.testing.assert_allclose(paths.detected[0], (reference + other_way) / 2, atol=1e-4)
    np.testing.assert_allclose(paths.confidence, 1.0)


def test_without_the_temporal_module_no_step_leaves_its_frame():
    # The tracker adds (2, 2) to where it looks from; where the crop of another frame lies does not matter.
    paths = run_track(Fixed(), Constant(2.0), track(3), temporal=False)
    reference = reference_shape()
    np.testing.assert_allclose(paths.start[1:], np.broadcast_to(reference, (2, 68, 2)), atol=1e-4)
    np.testing.assert_allclose(paths.tracked[1], reference + 2.0, atol=1e-4)
    np.testing.assert_allclose(paths.back_from_detection[1], reference + 2.0, atol=1e-4)
    np.testing.assert_allclose(paths.back_from_track[1], reference + 4.0, atol=1e-4)
    assert all(np.isnan(path[0]).all() for path in (paths.start, paths.tracked, paths.back_from_track))


def test_frames_of_a_track_are_those_of_its_table_without_the_pictures(tmp_path, monkeypatch):
    write_track(tmp_path / "a.0.parquet", 4)
    whole = load_track(tmp_path / "a.0.parquet", "a.0", "a", 64)
    read = []
    original = parquet.read_table
    monkeypatch.setattr(parquet, "read_table", lambda path, columns: read.extend(columns) or original(path, columns=columns))
    frames = load_track_frames(tmp_path / "a.0.parquet", "a.0")
    assert read == ["frame", "repeats"] and len(frames) == 4 and frames.track_id == "a.0"
    assert frames.frames.tolist() == whole.frames.tolist() == [3, 4, 5, 6]
    assert frames.repeats.tolist() == whole.repeats.tolist() == [False, True, False, False]


def test_mining_writes_labels_detections_and_a_summary(tmp_path):
    tracks = [track(6, "a.0", repeats=2), track(4, "b.0"), track(1, "c.0")]
    mine(tracks, runner(Fixed(), Constant(0.5)), SCHEME, EVERYTHING, TRAJECTORY, round_name="r1", hashes=("d", "t"), out=tmp_path)
    labels = read_table(tmp_path / "labels.parquet", pseudo_labels_schema(68))
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["frames_seen"] == 8  # the first frame of a track has no frame before it
    assert summary["dropped"] == {"repeats the frame before": 1}
    assert summary["kept"] == len(labels["frame"]) == summary["teaches"]["detector"] + summary["teaches"]["tracker"] == 7
    # The way back from the track ends twice as far off: the detection is the better one and teaches the tracker.
    assert summary["teaches"]["tracker"] == 7
    np.testing.assert_allclose(labels["points_crop"][0], reference_shape(), atol=1e-4)
    detections = read_table(tmp_path / "detections.parquet", detections_schema(68))
    assert detections["reason"][0] == "first frame of the track"
    assert len(detections["frame"]) == 10
    points, pairs = kept_pairs(tmp_path / "detections.parquet", tracks[:2], 68, 1)
    assert pairs.tolist() == [[0, 1], [0, 3], [0, 4], [0, 5], [1, 1], [1, 2], [1, 3]]
    assert [len(p) for p in points] == [6, 4]
    assert kept_pairs(tmp_path / "detections.parquet", tracks[:2], 68, 4)[1].tolist() == [[0, 4], [0, 5]]
    crops = pseudo_labelled_crops(tmp_path / "labels.parquet", tracks, "tracker", 68)
    assert crops.images[0] == tracks[0].images[1]


def test_a_consensus_label_lies_between_detection_and_track(tmp_path):
    both = replace(EVERYTHING, selection=Selection.consensus)
    still = [track(3)]
    still[0].transforms[:] = [still[0].transforms[0]] * 3
    mine(still, runner(Fixed(), Constant(0.5)), SCHEME, both, TRAJECTORY, round_name="r1", hashes=("d", "t"), out=tmp_path)
    labels = read_table(tmp_path / "labels.parquet", pseudo_labels_schema(68))
    assert list(labels["teaches"]) == ["detector", "tracker"] * 2
    np.testing.assert_allclose(labels["points_crop"], np.broadcast_to(reference_shape() + 0.25, (4, 68, 2)), atol=1e-4)


def test_an_empty_round_is_an_error_that_shows_the_losses(tmp_path):
    strict = MineParameters(1e-6, ThresholdKind.absolute, Selection.co_training, Gate.frame, 0.5, mirror=False, workers=1)
    with pytest.raises(ValueError, match=r"round r1: threshold 1e-06 keeps none of 5 frames. Distribution .*Raise rounds.r1.threshold"):
        mine([track(6)], runner(Fixed(), Constant(0.5)), SCHEME, strict, TRAJECTORY, round_name="r1", hashes=("", ""), out=tmp_path)
    assert not (tmp_path / "labels.parquet").exists()
    assert json.loads((tmp_path / "summary.json").read_text())["dropped"] == {"l_det and l_tck": 5}


def test_a_track_that_never_passed_the_check_is_not_followed():
    """MTCNN takes things for faces: nothing says that such a track shows one."""
    tracks = [track(4, "a.0"), track(4, "b.0")]
    paths = [run_track(Fixed(), Constant(0.5), one, temporal=True) for one in tracks]
    _, supported = follow_tracks(tracks, paths, np.array([True] + [False] * 5), SCHEME, TRAJECTORY)
    assert supported.tolist() == [True] * 3 + [False] * 3


def test_a_perfect_tracker_has_no_cycle_loss_and_a_drifting_one_has():
    tracks = [track(4)]
    transforms = tracks[0].transforms
    # Detections that stand still in the frame, given in each crop.
    detections = [np.stack([t.to_crop(reference_shape()) for t in transforms])]
    dataset = PairDataset(tracks, detections, np.array([[0, 1], [0, 3]]))
    batch = torch.utils.data.default_collate([dataset[(0, 0)], dataset[(0, 1)]])
    distance = float(SCHEME.distance(reference_shape()))
    perfect = [float(x) for x in cycle_losses(Constant(0.0), batch, distance, True)]
    assert perfect == pytest.approx([0, 0], abs=1e-3 / distance + 1e-5)
    l_tck, l_det = (float(x) for x in cycle_losses(Constant(1.0), batch, distance, True))
    assert l_tck * distance == pytest.approx(2 * 2**0.5, abs=1e-3)
    assert l_det * distance == pytest.approx(2**0.5, abs=1e-3)


@pytest.mark.parametrize(("steps", "skip"), [(3, 1), (1, 2), (2, 2)])
def test_a_cycle_can_have_more_steps_and_leave_frames_out(steps, skip):
    tracks = [track(8)]
    points = [np.stack([t.to_crop(reference_shape()) for t in tracks[0].transforms])]
    sample = PairDataset(tracks, points, np.array([[0, 6]]), steps=steps, skip=skip)[(0, 0)]
    batch, distance = torch.utils.data.default_collate([sample]), float(SCHEME.distance(reference_shape()))
    assert batch["images"].shape[1] == steps + 1 and batch["onward"].shape[1] == steps - 1
    np.testing.assert_allclose(batch["before"][0], points[0][6 - steps * skip], atol=1e-4)
    perfect = [float(x) for x in cycle_losses(Constant(0.0), batch, distance, True)]
    assert perfect == pytest.approx([0, 0], abs=1e-3 / distance + 1e-5)
    l_tck, l_det = (float(x) for x in cycle_losses(Constant(1.0), batch, distance, True))
    assert l_tck * distance == pytest.approx(2 * steps * 2**0.5, rel=0.02)
    assert l_det * distance == pytest.approx(steps * 2**0.5, rel=0.02)


def test_the_forward_step_learns_from_the_cycle_only_where_it_is_asked_to():
    tracks = [track(3)]
    points = [np.stack([t.to_crop(reference_shape()) for t in tracks[0].transforms])]
    batch = torch.utils.data.default_collate([PairDataset(tracks, points, np.array([[0, 1]]))[(0, 0)]])

    class Moves(Constant):
        def __init__(self):
            super().__init__(0.0)
            self.offset = torch.nn.Parameter(torch.tensor(1.0))

    # |p + 2 offset - p| has twice the gradient of |(p + offset) + offset - p| with the first offset held.
    gradients = []
    for through_forward in (True, False):
        model = Moves()
        cycle_losses(model, batch, 20.0, through_forward)[0].backward()
        gradients.append(model.offset.grad.item())
    assert gradients[0] == pytest.approx(2 * gradients[1], rel=1e-4)


def test_each_term_of_eq_6_has_a_weight_and_the_papers_are_1_and_lambda(monkeypatch):
    losses = torch.tensor(2.0), torch.tensor(3.0)
    monkeypatch.setattr("strrn.training.tracker.cycle_losses", lambda *_: losses)

    def terms(lambda_tck: float, lambda_det: float) -> dict[str, float]:
        step = ensemble_step(setting().synthetic_videos(), lambda_tck, lambda_det, 0.1, False)
        parts = step(build("strrn"), {**fresh_views(2, 3), "pair_before": torch.zeros(1)})
        return {name: float(value.detach()) for name, value in parts.items()}

    both = terms(1.0, 0.4)
    assert both["l_tck"] == float(0.1 * losses[0])  # to the bit what it was before it had a weight
    assert both["l_det"] == pytest.approx(0.1 * 0.4 * 3)
    assert terms(0.0, 0.4) == {**both, "l_tck": 0.0}
    assert terms(1.0, 0.0) == {**both, "l_det": 0.0}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        *((name, -1.0, "must not be negative, found -1") for name in ("lambda_tck", "lambda_det", "unlabelled_weight")),
        *((name, 0, "must be at least 1, found 0") for name in ("pair_batch_size", "cycle_steps", "cycle_skip")),
    ],
)
def test_values_out_of_range_are_refused(name, value, said):
    values = {"lambda_tck": 1.0, "lambda_det": 0.4, "unlabelled_weight": 0.1, "pair_batch_size": 2, "cycle_steps": 1, "cycle_skip": 1}
    with pytest.raises(ValueError, match=f"{name} {said}"):
        DistilParameters(0.5, TrackerData.d_tck, through_forward=False, **(values | {name: value}))


def test_gradients_of_the_losses_reach_every_parameter_of_the_tracker():
    model, tracks = build("strrn").train(), [track(4)]
    points = [np.stack([t.to_crop(reference_shape()) for t in tracks[0].transforms])]
    pairs = PairDataset(tracks, points, np.array([[0, 1], [0, 2], [0, 3]]))
    l_tck, l_det = cycle_losses(model, torch.utils.data.default_collate([pairs[(0, i)] for i in range(3)]), 20.0, True)
    (l_tck + l_det).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
    assert sum(float(p.grad.abs().sum()) > 0 for p in model.parameters()) == len(list(model.parameters()))


def fresh_views(count: int, length: int) -> dict[str, torch.Tensor]:
    reference = torch.from_numpy(reference_shape())[None].repeat(count, 1, 1)
    moves = torch.ones(count, length - 1, 68, 2) * torch.arange(1, length)[:, None, None]
    images = torch.randint(0, 256, (count, 64, 64, 3), dtype=torch.uint8)
    valid = torch.ones(count, 68, dtype=torch.bool)
    return {"images": images, "points": reference, "valid": valid, "start": reference.clone(), "moves": moves}


def test_an_unlabelled_point_does_not_reach_the_labelled_loss():
    batch = fresh_views(2, 3)
    batch["points"][:, 7] = float("nan")
    batch["valid"] = torch.isfinite(batch["points"]).all(-1)
    assert torch.isfinite(setting().synthetic_videos().loss(build("strrn").eval(), batch))


class Recorder(Constant):
    """Answers its start plus (offset, offset), and remembers the starts it was given."""

    def __init__(self, offset: float) -> None:
        super().__init__(offset)
        self.starts: list[torch.Tensor] = []

    def passes(self, reduced, starts, memory=None, through=False):
        self.starts.append(starts)
        return [starts + self.offset]


def test_a_synthetic_video_goes_on_from_the_trackers_own_answer():
    # Videos of 3 frames, one group, the tracker adds 0.5 and the moves are 1 and 2.
    videos, model = SyntheticVideos(replace(setting().motion, interleaved=1), setting().flicker, 20.0), Recorder(0.5)
    for _ in range(4):
        videos.loss(model, fresh_views(2, 3))
    reference = torch.from_numpy(reference_shape())
    offsets = [(starts - reference)[:, 0, 0].tolist() for starts in model.starts]
    first, second, third = [0.0] * 2, [0.5 + 1.0] * 2, [0.5 + 1.0 + 0.5 + 2.0] * 2
    expected = [first, first + second, first + second + third, first + second + third]
    assert [pytest.approx(row, abs=1e-4) for row in expected] == offsets


def test_groups_of_videos_take_turns():
    videos, model = setting().synthetic_videos(), Recorder(0.0)  # two groups, videos of 3 frames
    for _ in range(5):
        videos.loss(model, fresh_views(1, 3))
    assert [len(starts) for starts in model.starts] == [1, 1, 2, 2, 3]


def test_the_trackers_validation_error_is_that_of_the_last_frame():
    # Moves of 1 and 2 px: a tracker that takes back 1 px a step ends at -1 + 1 - 1 + 2 - 1 = 0, one that stays ends at 3.
    batch, distance = fresh_views(2, 3), float(SCHEME.distance(reference_shape()))
    for offset, expected in ((-1.0, 0.0), (0.0, 3.0)):
        error = tracker_error([batch], Normaliser(SCHEME), setting().flicker)(Constant(offset))
        assert error == pytest.approx(expected * 2**0.5 / distance, abs=1e-3)


@pytest.mark.parametrize("data", list(TrackerData))
def test_a_round_trains_both_models_from_where_they_were(data, tmp_path):
    write_stills(tmp_path)
    tracks = [track(6)]
    starts = {}
    for role, name in (("detector", "mdm"), ("tracker", "strrn")):
        starts[role] = tmp_path / f"{role}.safetensors"
        checkpoint.save(starts[role], build(name), header(name))
    mine(tracks, runner(Fixed(), Constant(0.5)), SCHEME, EVERYTHING, TRAJECTORY, round_name="r1", hashes=("", ""), out=tmp_path / "pseudo")
    parameters = DistilParameters(0.5, data, 1.0, 0.4, 0.5, False, 2, 1, 1)
    for role, start in starts.items():
        out = tmp_path / "r1" / start.name
        distil(setting(), start, tmp_path, tracks, tmp_path / "pseudo", parameters, loop(num_batches=3), "r1", out)
        model, read = checkpoint.load(out)
        assert read["round"] == "r1"
        assert set(read["data_hashes"]) == {"labels", "start"}
        assert checkpoint.weights_hash(model) != checkpoint.weights_hash(checkpoint.load(start)[0])
        log = (tmp_path / "r1" / f"{role}.log.csv").read_text()
        assert ("l_tck" in log) == (role == "tracker")


def test_d_tck_alone_and_empty_is_an_error(tmp_path):
    write_stills(tmp_path)
    checkpoint.save(tmp_path / "tracker.safetensors", build("strrn"), header("strrn"))
    # A tracker that answers exactly its start: both losses are zero, every frame teaches the detector, none the tracker.
    still = [track(4)]
    still[0].transforms[:] = [still[0].transforms[0]] * 4
    mine(still, runner(Fixed(), Constant(0.0)), SCHEME, EVERYTHING, TRAJECTORY, round_name="r1", hashes=("", ""), out=tmp_path / "pseudo")
    parameters = DistilParameters(0.5, TrackerData.d_tck, 1.0, 0.4, 0.5, False, 2, 1, 1)
    with pytest.raises(ValueError, match=r"nothing that teaches the tracker: set distil.data.tracker_data"):
        distil(
            setting(),
            tmp_path / "tracker.safetensors",
            tmp_path,
            still,
            tmp_path / "pseudo",
            parameters,
            loop(num_batches=2),
            "r1",
            tmp_path / "out.safetensors",
        )


def test_every_round_draws_views_of_its_own():
    seeds = [round_seed(seed, name) for seed in (0, 1) for name in ("r1", "r2")]
    assert len(set(seeds)) == 4 and seeds[0] == round_seed(0, "r1")
