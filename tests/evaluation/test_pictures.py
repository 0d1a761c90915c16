import numpy as np
import pytest

from strrn.core.geometry import bounding_box
from strrn.core.video import VideoWriter, probe, read_frames
from strrn.evaluation.pictures import MARGIN, ShownFrame, compare_frames, jpeg_uri, window, write_overlay
from tests.evaluation.small_run import SCHEME, path_of_face, picture


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    with VideoWriter(path, 25, 18) as writer:
        for points in path_of_face(4):
            writer.write(picture(points))
    return path


def test_a_window_centres_the_box():
    transform = window(np.array([10.0, 20.0, 30.0, 40.0]), 101)
    np.testing.assert_allclose(transform.to_crop(np.array([20.0, 30.0])), [50, 50])
    # The box's side of 20 px takes 1 / MARGIN of the window's 101 px.
    side = transform.to_crop(np.array([30.0, 30.0])) - transform.to_crop(np.array([10.0, 30.0]))
    assert side[0] == pytest.approx(101 / MARGIN)


def test_compared_frames_show_both_systems_of_the_right_frame(clip):
    truth = path_of_face(4)
    missing = np.full_like(truth[3], np.nan)
    shown = [ShownFrame("clip", clip, frame, truth[frame], (missing, truth[frame])) for frame in (3, 0)]
    pictures = compare_frames(shown, SCHEME, 64)
    assert [image.shape for image in pictures] == [(64, 128, 3)] * 2
    assert (pictures[0][:, :64] != pictures[0][:, 64:]).any()
    assert jpeg_uri(pictures[0]).startswith("data:image/jpeg;base64,/9j/")
    with pytest.raises(ValueError, match=r"clip.mp4 has no frames \[9\]"):
        compare_frames([ShownFrame("clip", clip, 9, truth[0], (missing, missing))], SCHEME, 64)


def test_overlay_is_cut_to_the_face_and_survives_lost_frames(clip, tmp_path):
    points = path_of_face(4)
    points[1] = np.nan
    systems = {"a": points, "b": points[:3]}
    assert write_overlay(tmp_path / "o.mp4", clip, systems, SCHEME, fps=25, height=80, quality=25) == 3
    info = probe(tmp_path / "o.mp4")
    assert (info.height, info.width, info.num_frames) == (80, 160, 3)
    nothing = {"a": np.full_like(points, np.nan)}
    assert write_overlay(tmp_path / "n.mp4", clip, nothing, SCHEME, fps=25, height=80, quality=10) == 4
    _, _, shown = next(read_frames(tmp_path / "n.mp4"))
    face = picture(path_of_face(4)[0])
    assert shown.mean() == pytest.approx(face.mean() * (face.shape[0] / face.shape[1]) / MARGIN**2, rel=0.25)  # all of it, nothing else
    assert np.isnan(bounding_box(nothing["a"][0])).all()
