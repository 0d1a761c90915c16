"""Video in and out by PyAV: frames as RGB arrays, files that a browser plays. A folder of frames as images is a video as well.

Decoding and encoding use one thread, so that a file depends on its frames and settings only and processes can share a machine.
"""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from strrn.core.files import atomic
from strrn.core.images import IMAGE_SUFFIXES, decode_image

VIDEO_SUFFIXES = (".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".webm", ".wmv")
FOLDER_FPS = 25.0  # images do not say
CLOCK = 90_000  # ticks a second, for frames with times of their own
LACKING = 0.5  # seconds that a whole file may end before the time that it states


class VideoError(ValueError):
    """A file that is not a video, is damaged, or holds no frame. The message names the file and the cure."""


@dataclass(frozen=True)
class VideoInfo:
    """Size as displayed (after the rotation that phones write beside the picture), frames a second, number of frames."""

    height: int
    width: int
    fps: float
    num_frames: int


class VideoFormat(Enum):
    """h264: an MP4 whose index stands first, so that it plays while loading; vp9: a WebM."""

    h264 = "h264"
    vp9 = "vp9"


CODECS = {VideoFormat.h264: "libx264", VideoFormat.vp9: "libvpx-vp9"}
CONTAINERS = {VideoFormat.h264: ("mp4", {"movflags": "+faststart"}), VideoFormat.vp9: ("webm", {})}


@contextmanager
def _opened(path: Path) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    if not path.is_file():
        raise FileNotFoundError(f"video {path} does not exist")
    if path.stat().st_size == 0:
        raise VideoError(f"video {path} is empty (0 bytes): copy or download it again")
    try:
        container = av.open(str(path))
    except PermissionError as error:
        raise VideoError(f"video {path} may not be read: {error.strerror}") from error
    except av.error.FFmpegError as error:
        raise VideoError(
            f"video {path} cannot be opened ({error.strerror}): it is damaged or not a video; copy it again or convert it to MP4"
        ) from error
    with container:
        if not container.streams.video:
            raise VideoError(f"video {path} holds no picture stream: convert it to MP4 with H.264")
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        yield container, stream


def _upright(frame: av.VideoFrame) -> np.ndarray:
    """(H, W, 3) uint8 RGB, turned by the multiple of 90 degrees (counter-clockwise) that the file asks for."""
    rgb = frame.to_ndarray(format="rgb24")
    quarter_turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(rgb, quarter_turns)) if quarter_turns else rgb


def _frame_images(folder: Path) -> list[Path]:
    """The images in a folder in the order of the numbers in their names: 0.999.jpg comes before 0.1000.jpg."""
    paths = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")]
    return sorted(paths, key=lambda path: ([int(number) for number in re.findall(r"\d+", path.stem)], path.name))


def _read_images(folder: Path) -> Iterator[tuple[int, float, np.ndarray]]:
    shape = None
    for index, path in enumerate(_frame_images(folder)):
        try:
            frame = decode_image(path.read_bytes(), str(path))
        except ValueError as error:
            raise VideoError(str(error)) from error
        if shape is not None and frame.shape != shape:
            cure = "frames of a folder must be of one size; photographs are for `strrn photos`"
            raise VideoError(f"frame {path} has shape {frame.shape}, those before {shape}: {cure}")
        shape = frame.shape
        yield index, index / FOLDER_FPS, frame
    if shape is None:
        raise VideoError(
            f"folder {folder} holds no image: put the frames there as files with one of the endings {', '.join(IMAGE_SUFFIXES)}"
        )


def _frames_per_second(stream: av.VideoStream) -> float:
    return float(stream.average_rate or stream.guessed_rate or 25)


def read_frames(path: Path | str) -> Iterator[tuple[int, float, np.ndarray]]:
    """Yield (frame index, time in seconds since the file's start, RGB uint8 (H, W, 3)) of every frame, in the order in which they are shown.

    path: a video file, or a folder of images, which are taken in the order of the numbers in their names, 25 a second.
    A damaged or cut file yields the frames before the damage; then VideoError says how many there were. FileNotFoundError and
    VideoError (empty, not a video) come with the first frame asked for.
    """
    path = Path(path)
    if path.is_dir():
        yield from _read_images(path)
        return
    index, packets, end = 0, 0, 0.0
    with _opened(path) as (container, stream):
        fps = _frames_per_second(stream)
        start = (container.start_time or 0) / av.time_base
        try:
            for packet in container.demux(stream, *container.streams.audio):
                if packet.pts is not None:
                    end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
                if packet.stream.index != stream.index:
                    continue
                packets += packet.size > 0
                for frame in packet.decode():
                    if frame.is_corrupt:
                        raise av.error.InvalidDataError(0, "damaged frame")
                    yield index, index / fps if frame.time is None else float(frame.time) - start, _upright(frame)
                    index += 1
        except av.error.FFmpegError as error:
            raise VideoError(f"video {path} is damaged after {index} frames ({error.strerror}): copy or download it again") from error
        if packets < stream.frames:
            raise VideoError(f"video {path} is cut short: {index} frames read of {stream.frames}; copy or download it again")
        stated = 0.0 if stream.frames else (container.duration or 0) / av.time_base  # MKV and WebM do not count their frames
    if index == 0:
        raise VideoError(f"video {path} holds no frame that can be decoded: copy it again or convert it to MP4")
    if end < stated - LACKING:  # the sound may go on after the pictures; where a file is cut, both end
        raise VideoError(f"video {path} is cut short: it ends after {end:.1f} of {stated:.1f} s; copy or download it again")


def probe(path: Path | str) -> VideoInfo:
    """Size, rate and number of frames; decodes one frame, and counts packets where the file does not state the number.

    Raises FileNotFoundError, or VideoError for a file of which not one frame can be decoded.
    """
    path = Path(path)
    _, _, first = next(read_frames(path))
    if path.is_dir():
        return VideoInfo(first.shape[0], first.shape[1], FOLDER_FPS, len(_frame_images(path)))
    with _opened(path) as (container, stream):
        num_frames = stream.frames or sum(packet.size > 0 for packet in container.demux(stream))
        return VideoInfo(first.shape[0], first.shape[1], _frames_per_second(stream), num_frames)


class VideoWriter:
    """Writes RGB frames to an MP4 or WebM file; use it in a `with` block.

    The file appears under its name when the block ends well. Frames of odd height or width get their last row or column twice,
    because the 4:2:0 colour format holds even sizes only.

    fps: frames a second; None: every frame comes with its time.
    quality: the encoder's constant rate factor, lower = better (H.264: 18 is visually lossless; VP9: 30 is good).
    Raises ValueError for frames that are not (H, W, 3) uint8 or change their size, and for a block that wrote no frame.
    """

    def __init__(self, path: Path | str, fps: float | None, quality: int, video_format: VideoFormat = VideoFormat.h264) -> None:
        if fps is not None and not fps > 0:
            raise ValueError(f"video {path}: fps must be positive, found {fps}")
        self.path = Path(path)
        self._rate = None if fps is None else Fraction(fps).limit_denominator(1001)
        self._quality = quality
        self._format = video_format
        self._shape: tuple[int, ...] | None = None
        self._num_frames, self._pts, self._gap = 0, 0, 1 if self._rate else CLOCK // 25
        self._start = 0.0  # time of the first frame, which the file begins with

    def __enter__(self) -> "VideoWriter":
        container_format, options = CONTAINERS[self._format]
        with ExitStack() as stack:
            temporary = stack.enter_context(atomic(self.path))
            self._container = stack.enter_context(
                av.open(str(temporary), "w", format=container_format, options={**options, "fflags": "+bitexact"})
            )
            self._stack = stack.pop_all()
        return self

    def write(self, frame: np.ndarray, seconds: float | None = None) -> None:
        """Append a frame, (H, W, 3) uint8 RGB. seconds: its time, for a writer without fps; one that is not later than the frame before it
        comes as long after that as that one after its own."""
        if self._rate is None and seconds is None:
            raise ValueError(f"video {self.path}: a writer without fps needs the time of every frame")
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            raise ValueError(f"video {self.path}: a frame must be (H, W, 3) uint8, found {frame.shape} {frame.dtype}")
        if self._shape is None:
            self._open_stream(frame.shape)
        if frame.shape != self._shape:
            raise ValueError(f"video {self.path}: frame {self._num_frames} has shape {frame.shape}, those before {self._shape}")
        height, width = frame.shape[:2]
        if height % 2 or width % 2:
            frame = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        if self._num_frames == 0:
            self._start = seconds or 0.0
        else:
            due = self._pts + 1 if self._rate else round((seconds - self._start) * CLOCK)
            if due <= self._pts:  # time went back
                due = self._pts + self._gap
                self._start = seconds - due / CLOCK
            self._gap, self._pts = due - self._pts, due
        picture.pts = self._pts
        self._container.mux(self._stream.encode(picture))
        self._num_frames += 1

    def _open_stream(self, shape: tuple[int, ...]) -> None:
        self._shape = shape
        match self._format:
            case VideoFormat.h264:
                # x264's macroblock tree gives other bytes from run to run (its assembly reads memory that nothing has set).
                options = {"crf": str(self._quality), "preset": "veryfast", "x264-params": "mbtree=0"}
            case VideoFormat.vp9:
                options = {"crf": str(self._quality), "b": "0", "deadline": "good", "cpu-used": "4"}
        stream = self._container.add_stream(CODECS[self._format], rate=self._rate, options=options)
        if self._rate is None:
            stream.codec_context.time_base = stream.time_base = Fraction(1, CLOCK)
        stream.height, stream.width = shape[0] + shape[0] % 2, shape[1] + shape[1] % 2
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        self._stream = stream

    def __exit__(self, error_type: type | None, error: BaseException | None, traceback: object) -> None:
        with self._stack:
            if error is not None:
                # Hand the error to the file's context, which then removes the temporary file instead of renaming it.
                self._container.close()
                raise error
            if self._shape is None:
                raise ValueError(f"video {self.path}: no frame was written")
            for packet in self._stream.encode(None):
                packet.duration = packet.duration or self._gap  # the last frame is shown as long as the one before it
                self._container.mux(packet)
            self._container.close()
