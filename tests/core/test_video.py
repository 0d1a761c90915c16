import av
import numpy as np
import pytest

from strrn.core.video import VideoError, VideoFormat, VideoWriter, probe, read_frames


def picture(height, width, index):
    """A smooth picture that survives compression: a ramp whose brightness steps with the frame."""
    x, y = np.meshgrid(np.linspace(0, 90, width), np.linspace(0, 60, height))
    return np.stack([x + 8 * index, y + 40, np.full_like(x, 90)], -1).astype(np.uint8)


def write(path, num_frames=12, height=48, width=64, **options):
    with VideoWriter(path, 25, 12, **options) as writer:
        for index in range(num_frames):
            writer.write(picture(height, width, index))


@pytest.mark.parametrize(("name", "video_format"), [("a.mp4", VideoFormat.h264), ("a.webm", VideoFormat.vp9)])
def test_frames_come_back_in_order_with_times(tmp_path, name, video_format):
    write(tmp_path / name, video_format=video_format)
    read = list(read_frames(tmp_path / name))
    assert [index for index, _, _ in read] == list(range(12))
    # WebM rounds times to milliseconds.
    np.testing.assert_allclose([time for _, time, _ in read], np.arange(12) / 25, atol=1e-3)
    for index, _, rgb in read:
        assert rgb.shape == (48, 64, 3) and rgb.dtype == np.uint8
        assert np.abs(rgb.astype(int) - picture(48, 64, index)).mean() < 2.5
    info = probe(tmp_path / name)
    assert (info.height, info.width, info.fps, info.num_frames) == (48, 64, 25, 12)


@pytest.mark.parametrize(("name", "video_format"), [("a.mp4", VideoFormat.h264), ("a.webm", VideoFormat.vp9)])
def test_frames_keep_times_of_their_own(tmp_path, name, video_format):
    times = [3600.0, 3600.04, 3600.1, 3600.1, 3600.35, 0.5, 0.7]  # one that is not later than the one before it, and a step back
    with VideoWriter(tmp_path / name, None, 12, video_format) as writer:
        for index, seconds in enumerate(times):
            writer.write(picture(48, 64, index), seconds)
    shown = [0.0, 0.04, 0.1, 0.16, 0.41, 0.66, 0.86]
    np.testing.assert_allclose([time for _, time, _ in read_frames(tmp_path / name)], shown, atol=2e-3)
    with (
        pytest.raises(ValueError, match="needs the time of every frame"),
        VideoWriter(tmp_path / f"b{name}", None, 12, video_format) as writer,
    ):
        writer.write(picture(48, 64, 0))


def test_a_browser_can_play_it(tmp_path):
    write(tmp_path / "a.mp4")
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
    content = (tmp_path / "a.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


@pytest.mark.parametrize(("name", "video_format"), [("a.mp4", VideoFormat.h264), ("a.webm", VideoFormat.vp9)])
def test_the_same_frames_give_the_same_file(tmp_path, name, video_format):
    contents = set()
    for _ in range(6):  # with x264's macroblock tree, two of six files differ on average
        write(tmp_path / name, video_format=video_format)
        contents.add((tmp_path / name).read_bytes())
    assert len(contents) == 1


def test_odd_sizes_are_padded_by_their_edge(tmp_path):
    write(tmp_path / "a.mp4", height=47, width=63)
    _, _, rgb = next(read_frames(tmp_path / "a.mp4"))
    assert rgb.shape == (48, 64, 3)
    assert np.abs(rgb[:47, :63].astype(int) - picture(47, 63, 0)).mean() < 2.5


def test_a_file_cut_short_yields_its_beginning_and_then_says_so(tmp_path):
    write(tmp_path / "whole.mp4", num_frames=60)
    content = (tmp_path / "whole.mp4").read_bytes()
    data = content.index(b"mdat")
    (tmp_path / "cut.mp4").write_bytes(content[: data + (len(content) - data) // 2])
    indices = []
    with pytest.raises(VideoError, match=r"cut\.mp4 is (cut short|damaged).*copy or download it again"):
        for index, _, _ in read_frames(tmp_path / "cut.mp4"):
            indices.append(index)
    assert 5 < len(indices) < 60 and indices == list(range(len(indices)))


@pytest.mark.parametrize(
    ("content", "message"), [(b"", "is empty"), (b"this is not a video at all" * 40, "cannot be opened")], ids=["empty", "text"]
)
def test_what_is_not_a_video_is_named(tmp_path, content, message):
    (tmp_path / "bad.mp4").write_bytes(content)
    for read in (probe, lambda path: next(read_frames(path))):
        with pytest.raises(VideoError, match=rf"bad\.mp4 {message}"):
            read(tmp_path / "bad.mp4")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.mp4 does not exist"):
        probe(tmp_path / "nowhere.mp4")


def test_a_failed_block_leaves_no_file(tmp_path):
    with pytest.raises(RuntimeError, match="stop"), VideoWriter(tmp_path / "a.mp4", 25, 20) as writer:
        writer.write(picture(48, 64, 0))
        raise RuntimeError("stop")
    with pytest.raises(ValueError, match="no frame was written"), VideoWriter(tmp_path / "b.mp4", 25, 20):
        pass
    assert list(tmp_path.iterdir()) == []


def test_frames_of_another_size_or_type_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"frame 1 has shape \(50, 64, 3\)"), VideoWriter(tmp_path / "a.mp4", 25, 20) as writer:
        writer.write(picture(48, 64, 0))
        writer.write(picture(50, 64, 1))
    with pytest.raises(ValueError, match="uint8"), VideoWriter(tmp_path / "a.mp4", 25, 20) as writer:
        writer.write(np.zeros((48, 64, 3), np.float32))


def test_a_film_taken_with_the_phone_on_its_side_comes_upright(tmp_path):
    """The track header's matrix turns the picture a quarter clockwise: its left column becomes the top row."""
    write(tmp_path / "lying.mp4", num_frames=1)
    content = bytearray((tmp_path / "lying.mp4").read_bytes())
    start = content.index(b"tkhd") + 4 + 40  # ISO 14496-12, 8.3.2: the matrix stands 40 bytes into a version 0 track header
    one = 1 << 16
    content[start : start + 36] = np.array([0, one, 0, -one, 0, 0, 0, 0, 1 << 30], ">i4").tobytes()
    (tmp_path / "lying.mp4").write_bytes(content)
    _, _, rgb = next(read_frames(tmp_path / "lying.mp4"))
    assert rgb.shape == (64, 48, 3)
    assert np.abs(rgb.astype(int) - np.rot90(picture(48, 64, 0), -1)).mean() < 2.5
    assert (probe(tmp_path / "lying.mp4").height, probe(tmp_path / "lying.mp4").width) == (64, 48)


def test_a_file_that_does_not_count_its_frames_is_cut_where_it_ends_too_early(tmp_path):
    write(tmp_path / "whole.webm", num_frames=60, video_format=VideoFormat.vp9)
    assert len(list(read_frames(tmp_path / "whole.webm"))) == 60
    content, seen = (tmp_path / "whole.webm").read_bytes(), []
    (tmp_path / "cut.webm").write_bytes(content[: len(content) // 2])
    with pytest.raises(VideoError, match=r"cut\.webm is cut short: it ends after .* of 2\.4 s"):
        seen.extend(read_frames(tmp_path / "cut.webm"))
    assert 0 < len(seen) <= 60


def test_times_begin_with_the_file(tmp_path):
    write(tmp_path / "a.mp4", num_frames=5)
    with av.open(str(tmp_path / "a.mp4")) as source, av.open(str(tmp_path / "later.mkv"), "w") as later:
        stream = later.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.pts += round(3 / packet.time_base)
                packet.dts += round(3 / packet.time_base)
                packet.stream = stream
                later.mux(packet)
    with av.open(str(tmp_path / "later.mkv")) as later:
        assert later.start_time / av.time_base == pytest.approx(3, abs=0.1)
    assert [seconds for _, seconds, _ in read_frames(tmp_path / "later.mkv")] == pytest.approx([0, 0.04, 0.08, 0.12, 0.16], abs=0.002)


def test_sound_may_go_on_after_the_pictures(tmp_path):
    with av.open(str(tmp_path / "a.mkv"), "w") as file:
        pictures, sound = file.add_stream("libx264", rate=25), file.add_stream("aac", rate=16000)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        for number in range(25):
            file.mux(pictures.encode(av.VideoFrame.from_ndarray(picture(48, 64, number), format="rgb24")))
        for number in range(48):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 16000, 1024 * number
            file.mux(sound.encode(frame))
        for stream in (pictures, sound):
            file.mux(stream.encode(None))
    with av.open(str(tmp_path / "a.mkv")) as file:
        assert file.duration / av.time_base > 2.5
    assert len(list(read_frames(tmp_path / "a.mkv"))) == 25
