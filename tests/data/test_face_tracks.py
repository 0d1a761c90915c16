import numpy as np
import pytest

from strrn.core.face_detection import FaceDetection
from strrn.core.geometry import CropTransform
from strrn.data.face_tracks import ClipFaces, FaceTrack, TrackParameters, boxes_between, crop_transforms, follow_faces

TEMPLATE = np.array([[40, 40], [60, 40], [50, 52], [43, 62], [57, 62]], np.float32)
SIZE = 101


def parameters(**changes):
    values = {"detect_every": 3, "link_iou": 0.3, "max_gap": 6, "cut_difference": 40.0, "repeat_difference": 0.5, "smoothing": 0.0}
    return TrackParameters(**{**values, **changes})


def detection(x, y=50.0, scale=1.0, angle=0.0):
    """A face about (x, y): the template turned and scaled about its centre, with a box of 40 pixels times the scale."""
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    five = (TEMPLATE - 50) @ np.array([[cos, sin], [-sin, cos]]) + [x, y]
    half = 20 * scale
    return FaceDetection(np.array([x - half, y - half, x + half, y + half], np.float32), five.astype(np.float32), 0.99)


class Film:
    """Frames of noise-free grey that carry their number; `faces` maps it to detections. Counts the looks."""

    def __init__(self, num_frames, faces, levels=None):
        self.num_frames, self.faces, self.looked = num_frames, faces, []
        self.levels = levels or [10 + 2 * (index % 2) for index in range(num_frames)]

    def frames(self):
        for index in range(self.num_frames):
            frame = np.full((8, 8, 3), self.levels[index], np.uint8)
            frame[0, 0] = (index // 256, index % 256, 0)
            yield frame

    def find(self, frame):
        index = int(frame[0, 0, 0]) * 256 + int(frame[0, 0, 1])
        self.looked.append(index)
        return self.faces(index)


def spans(faces: ClipFaces):
    return [(track.first, track.last) for track in faces.tracks]


def test_a_face_always_in_view_is_one_track_and_costs_few_looks():
    film = Film(31, lambda index: [detection(100 + index)])
    faces = follow_faces(film.frames(), film.find, parameters())
    assert spans(faces) == [(0, 30)]
    # The number of faces changes with the first look only; every third frame follows.
    assert film.looked == list(range(0, 31, 3))
    assert faces.stretches_without_face() == []


def test_the_last_frames_are_looked_at():
    film = Film(12, lambda index: [detection(100)])
    assert spans(follow_faces(film.frames(), film.find, parameters())) == [(0, 11)]


def test_a_track_begins_and_ends_on_the_frame_where_its_face_comes_and_goes():
    film = Film(40, lambda index: [detection(100)] if 10 <= index <= 22 else [])
    faces = follow_faces(film.frames(), film.find, parameters())
    assert spans(faces) == [(10, 22)]
    assert faces.stretches_without_face() == [(0, 9), (23, 39)]


def test_no_face():
    film = Film(10, lambda index: [])
    faces = follow_faces(film.frames(), film.find, parameters())
    assert faces.tracks == [] and faces.stretches_without_face() == [(0, 9)]


def test_two_people_are_two_tracks_whatever_the_order_of_their_detections():
    def two(index):
        pair = [detection(100 + index), detection(300 - index)]
        return pair if index % 2 else pair[::-1]

    film = Film(30, two)
    faces = follow_faces(film.frames(), film.find, parameters())
    assert sorted(spans(faces)) == [(0, 29), (0, 29)]
    for track in faces.tracks:
        centres = [float(found.box[[0, 2]].mean()) for found in track.detections]
        assert np.abs(np.diff(centres)).max() < 10


def test_a_short_loss_is_bridged_and_a_long_one_splits():
    for lost, expected in ((4, [(0, 29)]), (12, [(0, 9), (22, 29)])):
        film = Film(30, lambda index, lost=lost: [] if 10 <= index < 10 + lost else [detection(100)])
        assert spans(follow_faces(film.frames(), film.find, parameters())) == expected


def test_a_cut_ends_all_tracks_even_where_the_faces_overlap():
    film = Film(20, lambda index: [detection(100)], levels=[10] * 10 + [90] * 10)
    assert spans(follow_faces(film.frames(), film.find, parameters())) == [(0, 9), (10, 19)]


def test_repeated_frames_are_marked():
    frames = [np.full((8, 8, 3), level, np.uint8) for level in (10, 10, 12, 12, 14)]
    faces = follow_faces(frames, lambda frame: [], parameters())
    np.testing.assert_array_equal(faces.repeats, [False, True, False, True, False])


def track_of(**detections):
    frames = sorted(int(name[1:]) for name in detections)
    return FaceTrack(frames, [detections[f"f{frame}"] for frame in frames])


def test_the_crop_puts_the_five_points_on_the_template():
    track = track_of(f0=detection(200, 80, scale=2, angle=0.5), f1=detection(210, 90, scale=2.2, angle=-0.3))
    for found, transform in zip(track.detections, crop_transforms(track, TEMPLATE, SIZE, 0), strict=True):
        np.testing.assert_allclose(transform.to_crop(found.five_points), TEMPLATE, atol=1e-3)


def test_between_detections_angle_log_scale_and_centre_are_interpolated():
    track = track_of(f4=detection(100, 50, scale=1, angle=0.2), f6=detection(120, 60, scale=4, angle=0.6))
    first, middle, last = crop_transforms(track, TEMPLATE, SIZE, 0)
    assert middle.scale == pytest.approx(0.5, rel=1e-5)  # the geometric mean of 1 and 1/4
    assert np.arctan2(middle.b, middle.a) == pytest.approx(-0.4, abs=1e-5)
    np.testing.assert_allclose(middle.to_frame([50.0, 50.0]), [110, 55], atol=1e-3)
    assert isinstance(first, CropTransform) and last.size == SIZE
    np.testing.assert_allclose(boxes_between(track)[1], (track.detections[0].box + track.detections[1].box) / 2)


def test_an_angle_takes_the_short_way_round():
    track = track_of(f0=detection(100, angle=np.pi - 0.1), f2=detection(100, angle=-np.pi + 0.1))
    _, middle, _ = crop_transforms(track, TEMPLATE, SIZE, 0)
    assert abs(np.arctan2(middle.b, middle.a)) == pytest.approx(np.pi, abs=1e-5)


def test_smoothing_keeps_a_steady_motion_and_damps_a_jump():
    steady = track_of(**{f"f{index}": detection(100 + 3 * index) for index in range(12)})
    for index, transform in enumerate(crop_transforms(steady, TEMPLATE, SIZE, 1.5)):
        np.testing.assert_allclose(transform.to_frame([50.0, 50.0]), [100 + 3 * index, 50], atol=1e-3)
    jump = track_of(**{f"f{index}": detection(110 if index == 6 else 100) for index in range(13)})
    x = [float(transform.to_frame([50.0, 50.0])[0]) for transform in crop_transforms(jump, TEMPLATE, SIZE, 1.5)]
    # The middle weight of a Gaussian of 1.5 cut at 5: 1 / (1 + 2 (e^-2/9 + e^-8/9 + e^-2 + e^-32/9 + e^-50/9))
    assert x[6] == pytest.approx(100 + 10 * 0.2661, abs=0.01)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"detect_every": 0}, "detect_every must be at least 1, found 0"),
        ({"link_iou": 1.0}, "link_iou"),
        ({"max_gap": 2}, "max_gap must be at least detect_every = 3, found 2"),
        ({"repeat_difference": 50.0}, "repeat < cut"),
        ({"smoothing": -1.0}, "smoothing"),
    ],
)
def test_parameters_out_of_range_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        parameters(**changes)
