"""Pictures of the report: faces with points, best and worst frames, sheets of renders, the overlay clip."""

import base64
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from strrn.core.geometry import CropTransform, bounding_box
from strrn.core.images import draw_points, encode_jpeg
from strrn.core.landmarks import LandmarkScheme
from strrn.core.video import VideoWriter, probe, read_frames

# RGB
TRUTH_COLOUR = (255, 255, 255)
BEFORE_COLOUR = (255, 140, 60)
AFTER_COLOUR = (70, 220, 160)
MARGIN = 1.45  # side of a shown window / larger side of the face's box
log = logging.getLogger(__name__)


def window(box: np.ndarray, size: int) -> CropTransform:
    """The upright square window of `size` pixels that shows a box x0, y0, x1, y1 with a margin."""
    centre, side = (box[:2] + box[2:]) / 2, float((box[2:] - box[:2]).max()) * MARGIN
    scale = size / max(side, 1.0)
    shift = (size - 1) / 2 - scale * centre
    return CropTransform(scale, 0.0, float(shift[0]), float(shift[1]), size)


@dataclass(frozen=True)
class ShownFrame:
    """A test frame with its truth and the points of the systems that are compared, in frame pixels; NaN where a system has none."""

    clip_id: str
    path: Path
    frame: int
    truth: np.ndarray
    systems: Sequence[np.ndarray]


def compare_frame(image: np.ndarray, shown: ShownFrame, scheme: LandmarkScheme, size: int) -> np.ndarray:
    """(size, size * systems, 3): the window about the true face once per system, with its points over the truth's in white."""
    transform = window(bounding_box(shown.truth), size)
    panels = []
    for points, colour in zip(shown.systems, (BEFORE_COLOUR, AFTER_COLOUR), strict=True):
        panel = transform.crop(image)
        draw_points(panel, transform.to_crop(shown.truth), scheme.edges, TRUTH_COLOUR, TRUTH_COLOUR)
        draw_points(panel, transform.to_crop(points), scheme.edges, colour, colour)
        panels.append(panel)
    return np.hstack(panels)


def read_some_frames(path: Path, numbers: Sequence[int]) -> dict[int, np.ndarray]:
    """The frames of the given numbers. Raises ValueError where the clip is shorter."""
    wanted = set(numbers)
    found = {index: frame for index, _, frame in islice(read_frames(path), max(wanted) + 1) if index in wanted}
    if missing := sorted(wanted - set(found)):
        raise ValueError(f"{path} has no frames {missing}")
    return found


def compare_frames(frames: Sequence[ShownFrame], scheme: LandmarkScheme, size: int) -> list[np.ndarray]:
    """`compare_frame` of each, opening every clip once."""
    by_path: dict[Path, list[int]] = {}
    for shown in frames:
        by_path.setdefault(shown.path, []).append(shown.frame)
    images = {path: read_some_frames(path, numbers) for path, numbers in by_path.items()}
    return [compare_frame(images[shown.path][shown.frame], shown, scheme, size) for shown in frames]


def write_overlay(
    path: Path, clip: Path, systems: Mapping[str, np.ndarray], scheme: LandmarkScheme, *, fps: float, height: int, quality: int
) -> int:
    """An MP4 of the clip with one panel per system (title -> points_frame (T, L, 2)) side by side, cut to where the face goes.

    Where no system has a point in any frame, the panels show the frames alone. Returns the number of frames, that
    of the shortest system.
    """
    count = min(map(len, systems.values()))
    every = np.concatenate([points[:count].reshape(-1, 2) for points in systems.values()])
    every = every[np.isfinite(every).all(-1)]
    if len(every) == 0:
        log.warning("%s: no system has points in any frame; the overlay shows the clip alone", clip)
        about = probe(clip)
        every = np.array([[0, 0], [about.width - 1, about.height - 1]], float)
    # Percentiles: one wild frame must not make the face small in all the others.
    box = np.concatenate([np.percentile(every, 1, axis=0), np.percentile(every, 99, axis=0)])
    transform = window(box, height)
    colours = (BEFORE_COLOUR, AFTER_COLOUR)
    with VideoWriter(path, fps, quality) as writer:
        for index, _, frame in islice(read_frames(clip), count):
            panels = []
            for number, (title, points) in enumerate(systems.items()):
                panel = transform.crop(frame)
                colour = colours[number % 2] if len(systems) > 1 else AFTER_COLOUR
                draw_points(panel, transform.to_crop(points[index]), scheme.edges, colour, colour)
                (label_width, label_height), _ = cv2.getTextSize(title, cv2.FONT_HERSHEY_SIMPLEX, 0.6, 1)
                cv2.rectangle(panel, (0, height - label_height - 18), (label_width + 20, height), (20, 22, 26), -1)
                cv2.putText(panel, title, (10, height - 10), cv2.FONT_HERSHEY_SIMPLEX, 0.6, colour, 1, cv2.LINE_AA)
                panels.append(panel)
            writer.write(np.hstack(panels))
    return count


def jpeg_uri(image: np.ndarray, quality: int = 85) -> str:
    """The RGB image as a data URI."""
    return "data:image/jpeg;base64," + base64.b64encode(encode_jpeg(image, quality)).decode()


def file_uri(path: Path, kind: str) -> str:
    """A file as a data URI of a MIME type."""
    return f"data:{kind};base64," + base64.b64encode(path.read_bytes()).decode()
