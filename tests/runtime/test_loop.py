"""The tracking loop on a scripted world: frames carry a number, the fakes know where the face is in each."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from strrn.core.geometry import CropTransform, bounding_box, fit_similarity
from strrn.runtime.loop import FACE_CHECK_SIZE, FaceState, FaceTracker, Models, State
from strrn.runtime.parameters import Mode, RuntimeParameters, parameters_from_dict, parameters_to_dict
from tests.runtime.tiny import SCHEME

SIZE = 315
# Five landmarks that are MTCNN's own: eyes, nose, corners of the mouth; d = 100 px in the crop.
REFERENCE = np.array([[107, 120], [207, 120], [157, 170], [120, 220], [194, 220]], np.float32)
PARAMETERS = RuntimeParameters(
    mode=Mode.tracker,
    cycle_every=4,
    max_cycle_error=0.1,
    detector_share=0.0,
    detect_every=1,
    verify_every=4,
    max_disagreement=0.2,
    min_confidence=0.5,
    face_every=4,
    max_shape_distance=0.5,
    max_scale_jump=1.3,
    min_inside=0.7,
    patience=3,
    search_every=2,
    smoothing=0.0,
    steadiness=0.0,
    new_face_every=5,
    remember=10,
    cut_difference=100.0,
)


@dataclass(frozen=True)
class Face:
    box: np.ndarray
    five_points: np.ndarray
    probability: float


class World:
    """A video whose frames are 240 x 320 and hold a face where `truth` says so; `truth` maps frame number -> points_frame or None.

    A crop knows its frame by the pixel value that fills it; the transform of the crop is recorded by patching CropTransform.crop.
    tracker_drift: pixels of the crop by which each tracker step misses.
    """

    def __init__(self, monkeypatch, truth, num_frames):
        self.truth = [truth(number) for number in range(num_frames)]
        self.tracker_drift = np.zeros(2, np.float32)
        self.searches = []
        self.transforms = {}
        self.calls = []

        def crop(transform, frame, stride=1):
            picture = np.full((transform.size, transform.size, 3), frame[0, 0, 0], np.uint8)
            self.transforms[id(picture)] = (transform, picture)
            return picture

        monkeypatch.setattr(CropTransform, "crop", crop)

    def _truth_in(self, crop):
        points = self.truth[crop[0, 0, 0]]
        return None if points is None else self.transforms[id(crop)][0].to_crop(points)

    def detect(self, crop):
        self.calls.append("detect")
        points = self._truth_in(crop)
        return (REFERENCE, np.full(5, 0.2, np.float32)) if points is None else (points, np.full(5, 0.9, np.float32))

    def track(self, crop, start):
        self.calls.append("track")
        points = self._truth_in(crop)
        return start + np.array([3, 1]) if points is None else points + self.tracker_drift

    def find_faces(self, picture):
        self.searches.append(int(picture[0, 0, 0]))
        points = self.truth[picture[0, 0, 0]]
        return [] if points is None else [Face(bounding_box(points), points, 0.97)]

    def find_near(self, picture, box):
        self.calls.append("find_near")
        return type(self).find_faces(self, picture)

    def confirm(self, picture, five_points):
        assert picture.shape[0] == FACE_CHECK_SIZE
        points = self._truth_in(picture)
        return None if points is None else Face(bounding_box(points), points, 0.97)

    def run(self, parameters=PARAMETERS) -> list[FaceState]:
        tracker = _tracker(self, parameters=parameters)
        return [one(tracker, number) for number in range(len(self.truth))]


def moving(number: int) -> np.ndarray:
    """Half of the crop's scale, turning and drifting slowly."""
    angle = 0.02 * number
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return ((REFERENCE - 157) * 0.5 @ rotation.T + (120 + 2 * number, 120)).astype(np.float32)


@pytest.fixture
def world(monkeypatch):
    return lambda truth, num_frames: World(monkeypatch, truth, num_frames)


@pytest.mark.parametrize("mode", Mode)
def test_follows_a_moving_face(world, mode):
    scene = world(moving, 30)
    states = scene.run(replace(PARAMETERS, mode=mode))
    assert [state.state for state in states] == [State.tracking] * 30
    np.testing.assert_allclose([state.points_frame for state in states], scene.truth, atol=1e-3)
    assert states[0].reason == "face found (probability 0.97)" and not any(state.reason for state in states[1:])
    np.testing.assert_allclose(states[7].box, bounding_box(moving(7)), atol=1e-3)
    assert scene.searches == [0]


def test_the_detector_has_its_share_of_every_frame(world):
    """The tracker misses by 8 px of the crop in x: what remains is its share of that, and the detector is asked once a frame."""
    scene = world(moving, 12)
    scene.tracker_drift = np.array([8.0, 0.0], np.float32)
    states = scene.run(replace(PARAMETERS, detector_share=0.25, cycle_every=100, face_every=100))
    # Half a frame pixel per crop pixel, in the direction of the face's x axis.
    errors = [np.linalg.norm(state.points_frame - truth, axis=1) for state, truth in zip(states[1:], scene.truth[1:], strict=True)]
    np.testing.assert_allclose(errors, 0.75 * 8 * 0.5, rtol=0.05)
    assert scene.calls.count("detect") == 2 + 11 and scene.calls.count("track") == 11


def test_between_its_looks_the_detectors_share_stays(world):
    """The same, with a detector that looks at every second frame: the points are the same, the calls are half as many."""
    scene = world(moving, 12)
    scene.tracker_drift = np.array([8.0, 0.0], np.float32)
    states = scene.run(replace(PARAMETERS, detector_share=0.25, detect_every=2, cycle_every=100, face_every=100, verify_every=1))
    errors = [np.linalg.norm(state.points_frame - truth, axis=1) for state, truth in zip(states[1:], scene.truth[1:], strict=True)]
    np.testing.assert_allclose(errors, 0.75 * 8 * 0.5, rtol=0.05)
    assert scene.calls.count("detect") == 2 + 6 and scene.calls.count("track") == 11


def test_a_detector_far_from_the_tracker_is_noticed_in_every_frame(world):
    scene = world(moving, 5)
    scene.tracker_drift = np.array([25.0, 0.0], np.float32)  # 0.25 d
    scene.find_near = lambda picture, box: []
    states = scene.run(replace(PARAMETERS, detector_share=0.25, cycle_every=100, face_every=100))
    assert states[1].state is State.uncertain and states[1].reason == "detector 0.25 away"


def test_a_face_that_mtcnn_sees_only_in_a_search_stays_as_it_is(world):
    scene = world(moving, 8)
    scene.confirm = lambda picture, five_points: None
    states = scene.run()
    np.testing.assert_allclose([state.points_frame for state in states], scene.truth, atol=1e-3)
    assert [state.state for state in states] == [State.tracking] * 8
    assert scene.calls.count("find_near") == 1 and scene.calls[-4:] == ["find_near"] + ["track"] * 3  # not detected anew


def test_points_that_lie_half_beside_the_face_are_put_back(world):
    scene = world(moving, 6)
    scene.tracker_drift = np.array([45, 0], np.float32)  # boxes of 100 px overlap by 55 / 145
    states = scene.run(replace(PARAMETERS, cycle_every=100, verify_every=100))
    errors = [np.abs(state.points_frame - truth).max() for state, truth in zip(states, scene.truth, strict=True)]
    assert errors[3] > 15 and errors[4] < 1e-3


def test_something_smaller_near_an_uncertain_face_is_not_taken_for_it(world):
    scene = world(moving, 6)
    scene.confirm = lambda picture, five_points: None
    small = (moving(4) - moving(4).mean(0)) * 0.8 + moving(4).mean(0)
    scene.find_near = lambda picture, box: [Face(bounding_box(small), small, 0.95)]
    states = scene.run()
    assert [state.state.name for state in states[4:]] == ["uncertain"] * 2
    np.testing.assert_allclose(states[4].points_frame, moving(4), atol=1e-3)


def test_about_an_uncertain_face_is_searched_now_and_then(world):
    scene = world(lambda number: moving(number) if number < 4 else None, 12)
    asked = []
    scene.find_near = lambda picture, box: asked.append(int(picture[0, 0, 0])) or []
    states = scene.run(replace(PARAMETERS, patience=6))
    assert [state.state.name for state in states[4:]] == ["uncertain"] * 5 + ["lost"] * 3
    assert asked == [4, 6, 8] and scene.searches == [0, 10]


def test_the_tracker_is_the_only_model_between_checks(world):
    scene = world(moving, 8)
    scene.run()
    # Two detections start the face; frame 4 checks: forward, back, detector.
    assert scene.calls == ["detect"] * 2 + ["track"] * 4 + ["track", "detect"] + ["track"] * 3


def test_detector_mode_never_calls_the_tracker(world):
    scene = world(moving, 8)
    scene.run(replace(PARAMETERS, mode=Mode.detector))
    assert set(scene.calls) == {"detect"}


@pytest.mark.parametrize(("mode", "share"), [(Mode.detector, 0.0), (Mode.tracker, 0.0), (Mode.tracker, 0.3)])
def test_a_face_that_leaves_is_lost_and_found_again(world, mode, share):
    scene = world(lambda number: moving(number) if number < 10 or number >= 30 else None, 40)
    states = scene.run(replace(PARAMETERS, mode=mode, detector_share=share))
    names = [state.state.name for state in states]
    lost = names.index("lost")
    assert lost - 10 < 10
    assert names[lost:30] == ["lost"] * (30 - lost)
    assert states[lost - 1].state is State.uncertain and states[lost].reason
    back = names.index("tracking", lost)
    assert back in (30, 31)  # searched for in every second frame
    assert states[back].reason.startswith("face found")
    np.testing.assert_allclose(states[back].points_frame, moving(back), atol=1e-3)
    assert all(np.isnan(state.points_frame).all() and np.isnan(state.confidence).all() for state in states if state.state is State.lost)


def test_searching_until_the_first_face(world):
    scene = world(lambda number: moving(number) if number >= 5 else None, 12)
    states = scene.run()
    assert [state.state.name for state in states] == ["searching"] * 6 + ["tracking"] * 6
    assert scene.searches == [0, 2, 4, 6]
    assert np.isnan(states[0].box).all() and not states[0].has_points


def test_a_wandering_tracker_is_put_back_on_the_face(world):
    scene = world(moving, 20)
    scene.tracker_drift = np.array([40, 0], np.float32)  # 0.4 d
    states = scene.run()
    assert all(state.state is State.tracking for state in states)
    # Frame 4 is the first with checks: the cycle notices, MTCNN and the detector put the points back.
    errors = [np.abs(state.points_frame - truth).max() for state, truth in zip(states, scene.truth, strict=True)]
    assert errors[3] > 15 and errors[4] < 1e-3


def test_points_that_are_no_face_are_never_followed(world):
    scene = world(moving, 12)
    scene.track = lambda crop, start: start * np.array([1.0, 3.0], np.float32)
    scene.find_faces = lambda picture, find=scene.find_faces: find(picture) if picture[0, 0, 0] == 0 else []
    scene.find_near = lambda picture, box: []
    states = scene.run()
    assert [state.state.name for state in states[:5]] == ["tracking", "uncertain", "uncertain", "lost", "lost"]
    assert "inside the frame" in states[1].reason or "shape distance" in states[1].reason
    np.testing.assert_allclose(states[2].points_frame, moving(0), atol=1e-3)


@pytest.mark.parametrize(("value", "share", "reason"), [(np.nan, 0.0, "not finite"), (np.nan, 0.3, "not finite"), (7.0, 0.0, "coincide")])
def test_broken_points_end_in_lost_not_in_an_exception(world, value, share, reason):
    scene = world(moving, 6)
    scene.track = lambda crop, start: np.full_like(start, value)
    scene.find_faces = lambda picture, find=scene.find_faces: find(picture) if picture[0, 0, 0] == 0 else []
    scene.find_near = lambda picture, box: []
    states = scene.run(replace(PARAMETERS, detector_share=share))
    assert states[3].state is State.lost and reason in states[1].reason


def test_a_doubtful_face_is_not_started(world):
    scene = world(moving, 4)
    scene.detect = lambda crop: (REFERENCE, np.full(5, 0.1, np.float32))
    assert [state.state for state in scene.run()] == [State.searching] * 4


def test_the_largest_face_is_taken(world):
    scene = world(moving, 3)
    small = fit_similarity(REFERENCE, REFERENCE * 0.1, SIZE).to_crop(REFERENCE)
    find = scene.find_faces
    scene.find_faces = lambda picture: [Face(bounding_box(small), small, 0.99), *find(picture)]
    np.testing.assert_allclose(scene.run()[0].points_frame, moving(0), atol=1e-3)


def test_a_new_frame_size_starts_anew(world):
    scene = world(moving, 6)
    tracker = _tracker(scene)
    tracker(np.zeros((240, 320, 3), np.uint8))
    tracker(np.full((480, 640, 3), 1, np.uint8))
    assert scene.searches == [0, 1]


def test_bad_frames_and_shapes_are_refused(world):
    scene = world(moving, 2)
    with pytest.raises(ValueError, match=r"found \(240, 320\)"):
        _tracker(scene)(np.zeros((240, 320), np.uint8))
    with pytest.raises(ValueError, match=r"face_template \(4, 2\)"):
        _tracker(scene, face_template=REFERENCE[:4])


def test_the_tracker_is_shown_the_frame_that_it_comes_from(world):
    scene, steps = world(moving, 6), []

    def track(crops, starts, crops_before, points_before):
        steps.append((int(crops[0][0, 0, 0]), int(crops_before[0][0, 0, 0])))
        np.testing.assert_allclose(points_before[0], scene._truth_in(crops_before[0]), atol=0.01)
        return np.stack([scene.track(crops[0], starts[0])])

    tracker = _tracker(scene, replace(PARAMETERS, cycle_every=2), track=track)
    for number in range(6):
        one(tracker, number)
    assert steps == [(1, 0), (2, 1), (1, 2), (3, 2), (4, 3), (3, 4), (5, 4)]  # after every second step one back


def _tracker(scene, parameters=PARAMETERS, max_faces=1, **changes):
    models = Models(
        detect=lambda crops: tuple(map(np.stack, zip(*(scene.detect(crop) for crop in crops), strict=True))),
        track=lambda crops, starts, *before: np.stack([scene.track(crop, start) for crop, start in zip(crops, starts, strict=True)]),
        find_faces=lambda frame: scene.find_faces(frame),
        find_near=lambda frame, box: scene.find_near(frame, box),
        confirm_face=scene.confirm,
        scheme=SCHEME,
        reference_shape=REFERENCE,
        face_template=REFERENCE,
        size=SIZE,
        stride=1,
    )
    return FaceTracker(replace(models, **changes), parameters, max_faces)


def one(tracker, number) -> FaceState:
    """The first face of the frame with this number, or what stands for none."""
    return (tracker(np.full((240, 320, 3), number, np.uint8)) or [tracker.nobody()])[0]


def test_parameters_survive_the_way_through_json():
    assert parameters_from_dict(parameters_to_dict(PARAMETERS), "file") == PARAMETERS


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cycle_every": 0}, "cycle_every: found 0"),
        ({"detector_share": 1.0}, "detector_share: found 1.0"),
        ({"max_scale_jump": 1.0}, "max_scale_jump: found 1.0"),
        ({"min_inside": 1.5}, "min_inside: found 1.5"),
        ({"max_cycle_error": -1.0}, "max_cycle_error: found -1.0"),
        ({"mode": "walker"}, "'walker' is not one of"),
        ({"speed": 3}, "dvc repro export"),
        ({"speed": 3}, r"unknown parameters \['speed'\]"),
    ],
)
def test_parameters_out_of_range_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        parameters_from_dict(parameters_to_dict(PARAMETERS) | change, "model.onnx")


class Crowd(World):
    """Several faces: `truth` maps frame number -> list of points_frame. A crop shows the face whose middle lies nearest to its own."""

    def _truth_in(self, crop):
        transform = self.transforms[id(crop)][0]
        middle = (transform.size - 1) / 2
        faces = [transform.to_crop(points) for points in self.truth[crop[0, 0, 0]]]
        near = [points for points in faces if np.abs(points.mean(0) - middle).max() < 0.3 * transform.size]
        return min(near, key=lambda points: np.linalg.norm(points.mean(0) - middle), default=None)

    def find_faces(self, picture):
        self.searches.append(int(picture[0, 0, 0]))
        return [Face(bounding_box(points), points, 0.97) for points in self.truth[picture[0, 0, 0]]]


def small(x: float, y: float) -> np.ndarray:
    """A face of 29 x 33 pixels about (x, y)."""
    return ((REFERENCE - REFERENCE.mean(0)) / 3 + (x, y)).astype(np.float32)


def follow_all(scene, max_faces, numbers):
    tracker = _tracker(scene, max_faces=max_faces)
    return [tracker(np.full((240, 320, 3), number, np.uint8)) for number in numbers]


def test_every_face_keeps_its_id_and_newcomers_are_found_in_time(monkeypatch):
    # Two faces walk past each other, 80 pixels apart in height; a third one is there from frame 7 on.
    scene = Crowd(monkeypatch, lambda n: [small(60 + 8 * n, 60), small(260 - 8 * n, 140), *[small(160, 210)] * (n >= 7)], 20)
    frames = follow_all(scene, 3, range(20))
    for number, faces in enumerate(frames):
        middles = {face.face_id: face.points_frame.mean(0).round(3).tolist() for face in faces}
        first, second, *_ = (points.mean(0).round(3).tolist() for points in scene.truth[number])
        if number == 0:
            ids = sorted(middles, key=lambda face_id: middles[face_id] != first)
        assert sorted(ids) == [0, 1] and [middles[face_id] for face_id in ids] == [first, second]
    assert [len(faces) for faces in frames] == [2] * 10 + [3] * 10
    assert scene.searches == [0, 5, 10]  # every fifth frame while there is room for more, then never


def test_no_more_faces_than_asked_for(monkeypatch):
    scene = Crowd(monkeypatch, lambda n: [small(60, 60), small(160, 60), small(260, 60)], 3)
    assert [len(faces) for faces in follow_all(scene, 2, range(3))] == [2, 2, 2]


@pytest.mark.parametrize(("x", "face_id"), [(70, 0), (250, 1)])
def test_a_face_that_comes_back_to_its_place_is_the_same(monkeypatch, x, face_id):
    scene = Crowd(monkeypatch, lambda n: [small(60, 60)] if n < 4 else [small(x, 60)] if n > 12 else [], 20)
    frames = follow_all(scene, 1, range(20))
    lost = next(number for number, faces in enumerate(frames) if faces and faces[0].state is State.lost)
    assert lost <= 8 and frames[lost][0].face_id == 0 and np.isnan(frames[lost][0].box).all()
    assert frames[lost + 1 : 12] == [[]] * (11 - lost)
    assert frames[-1][0].face_id == face_id


def test_a_place_is_not_remembered_for_ever(monkeypatch):
    scene = Crowd(monkeypatch, lambda n: [small(60, 60)] if n < 4 or n > 20 else [], 30)
    assert follow_all(scene, 1, range(30))[-1][0].face_id == 1


def test_a_cut_ends_every_face_at_once(monkeypatch):
    scene = Crowd(monkeypatch, lambda n: [small(60, 60)] if n < 100 else [small(62, 62)], 200)
    before, at_cut = follow_all(scene, 1, [5, 150])
    assert [(face.face_id, face.state) for face in before] == [(0, State.tracking)]
    assert [(face.face_id, face.state, face.reason[:10]) for face in at_cut] == [
        (1, State.tracking, "face found"),
        (0, State.lost, "scene cut"),
    ]


def test_two_sets_of_points_on_one_face_become_one(monkeypatch):
    scene = Crowd(monkeypatch, lambda n: [small(100, 60), small(150, 60)] if n < 3 else [small(125, 60)], 8)
    scene.find_faces = lambda picture, find=scene.find_faces: find(picture) if picture[0, 0, 0] == 0 else []
    frames = follow_all(scene, 2, range(8))
    assert [face.reason for faces in frames for face in faces if face.state is State.lost] == ["the same face as 0"]
    assert [face.face_id for face in frames[-1]] == [0]


def test_doubtful_faces_are_put_back_each_on_the_one_that_is_nearest(monkeypatch):
    # The second face is the larger one, which MTCNN's list has first.
    large = ((REFERENCE - REFERENCE.mean(0)) / 2.8).astype(np.float32)
    scene = Crowd(monkeypatch, lambda n: [small(100, 60)] + [large + (150, 60)] * (n > 0), 12)
    scene.tracker_drift = np.array([25, 0], np.float32)  # 0.25 d, which the detector notices
    frames = follow_all(scene, 2, range(12))
    assert all([face.face_id for face in faces] == [0, 1] for faces in frames[6:])
    for faces in frames[6:]:
        assert abs(faces[0].points_frame[:, 0].mean() - 100) < 20 and abs(faces[1].points_frame[:, 0].mean() - 150) < 20


def test_another_person_does_not_take_the_seat_of_a_face_in_doubt(monkeypatch):
    scene = Crowd(monkeypatch, lambda n: [small(60, 60), small(260, 60)], 12)
    first = follow_all(scene, 1, [0])[0][0].points_frame.mean(0)
    scene.confirm = lambda picture, five_points: None  # MTCNN misses the face where it is
    scene.find_faces = lambda picture, find=scene.find_faces: [
        face for face in find(picture) if picture[0, 0, 0] == 0 or abs(face.five_points.mean(0)[0] - first[0]) > 100
    ]
    scene.find_near = lambda picture, box: scene.find_faces(picture)
    states = [[(face.face_id, face.state.name) for face in faces] for faces in follow_all(scene, 1, range(12))]
    assert states[4:7] == [[(0, "uncertain")], [(0, "uncertain")], [(0, "lost")]]  # patience: 3
    assert states[7] == [(1, "tracking")]


def test_of_two_on_one_face_the_one_in_doubt_ends(monkeypatch):
    scene = Crowd(monkeypatch, lambda n: [small(100, 60), small(160, 60)], 8)
    tracker = _tracker(scene, max_faces=2)
    tracker(np.full((240, 320, 3), 0, np.uint8))
    older, younger = tracker._faces
    older.points = younger.points + 1
    older.failures, older.failure = 1, "drifted"
    ((ended, reason),) = tracker._ended()
    assert ended is older and reason == f"the same face as {younger.face_id}" and tracker._faces == [younger]


def test_what_a_program_does_to_the_points_is_its_own_affair(world):
    tracker = _tracker(world(moving, 6))
    for number in range(6):
        face = one(tracker, number)
        assert face.state is State.tracking
        face.points_frame[:] *= 3
        face.raw_points_frame[:] *= 3


def test_points_are_smoothed_between_the_checks(world):
    scene = world(lambda n: moving(0), 12)
    noise = np.random.default_rng(0).normal(0, 3, (12, 5, 2)).astype(np.float32)
    scene.track = lambda crop, start: scene._truth_in(crop) + noise[crop[0, 0, 0]]
    scene.detect = lambda crop: (scene._truth_in(crop), np.full(5, 0.6, np.float32))
    smooth = scene.run(replace(PARAMETERS, smoothing=0.01))
    away = [
        np.std([points(face) - truth for face, truth in zip(smooth[4:], scene.truth[4:], strict=True)])
        for points in (lambda face: face.points_frame, lambda face: face.raw_points_frame)
    ]
    assert away[0] < 0.8 * away[1]
    for face in scene.run():
        np.testing.assert_array_equal(face.points_frame, face.raw_points_frame)
    for face in scene.run(replace(PARAMETERS, smoothing=0.01, mode=Mode.detector)):  # the detector is what others are compared with
        np.testing.assert_array_equal(face.points_frame, face.raw_points_frame)


def test_the_face_as_a_whole_is_given_steadier_than_it_is_tracked(world):
    scene = world(lambda n: moving(0), 12)
    noise = np.random.default_rng(0).normal(0, 0.3, (12, 1, 2)).astype(np.float32)
    scene.track = lambda crop, start: scene._truth_in(crop) + noise[crop[0, 0, 0]]
    scene.detect = lambda crop: (scene._truth_in(crop), np.full(5, 0.6, np.float32))
    as_seen, steady = scene.run(), scene.run(replace(PARAMETERS, steadiness=0.05))
    for before, after in zip(as_seen, steady, strict=True):  # where the tracking goes on from is the same
        np.testing.assert_array_equal(before.raw_points_frame, after.raw_points_frame)
    restless = [np.abs(np.diff([face.points_frame for face in faces], 2, axis=0)).mean() for faces in (as_seen, steady)]
    assert restless[1] < 0.8 * restless[0]
    for face in scene.run(replace(PARAMETERS, steadiness=0.05, mode=Mode.detector)):
        np.testing.assert_array_equal(face.points_frame, face.raw_points_frame)


def test_a_frame_that_cannot_be_true_leaves_a_steady_face_where_it_was(world):
    scene = world(lambda n: moving(0), 12)
    scene.track = lambda crop, start: scene._truth_in(crop) + (400 * (crop[0, 0, 0] == 6))  # leaps out of the picture and back
    scene.find_near = lambda picture, box: []
    seen = scene.run(replace(PARAMETERS, steadiness=0.05))
    assert [face.state.name for face in seen[5:9]] == ["tracking", "uncertain", "uncertain", "tracking"]
    for face in seen:
        np.testing.assert_allclose(face.points_frame, moving(0), atol=1e-3)


def test_a_search_that_is_not_ready_is_asked_again(world):
    scene = world(moving, 6)
    answers = iter([None, None, None, [Face(bounding_box(moving(3)), moving(3), 0.9)]])
    scene.find_faces = lambda picture: next(answers)
    assert [face.state.name for face in scene.run()] == ["searching"] * 3 + ["tracking"] * 3


def test_max_faces_must_be_positive(world):
    with pytest.raises(ValueError, match="max_faces must be at least 1, found 0"):
        _tracker(world(moving, 1), max_faces=0)
