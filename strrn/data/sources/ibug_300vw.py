"""300VW (ibug.doc.ic.ac.uk/resources/300-VW): 114 videos with 68 points in every frame, for research only. The user brings the folder."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from strrn.core.landmarks import LandmarkScheme
from strrn.data.sources.labelled import LabelError, LabelledFace, evenly_spread
from strrn.data.sources.pts import read_pts
from strrn.data.sources.record import ClipRecord, readable_clips

LICENCE = "research only (300VW)"
# The challenge's division (Shen et al., The First Facial Landmark Tracking in-the-Wild Challenge, ICCVW 2015). Categories: well lit;
# unconstrained light; everything at once.
# fmt: off
VIDEOS = {
    "300vw_train": (
        1, 2, 3, 4, 7, 9, 10, 11, 13, 15, 16, 17, 18, 19, 20, 22, 25, 27, 28, 29, 31, 33, 34, 35, 37, 39, 41, 43, 44, 46, 47, 48, 49,
        53, 57, 59, 112, 113, 115, 119, 120, 123, 138, 143, 144, 160, 204, 205, 223, 225
    ),
    "300vw_category_1": (
        114, 124, 125, 126, 150, 158, 401, 402, 505, 506, 507, 508, 509, 510, 511, 514, 515, 518, 519, 520, 521, 522, 524, 525, 537,
        538, 540, 541, 546, 547, 548
    ),
    "300vw_category_2": (
        203, 208, 211, 212, 213, 214, 218, 224, 403, 404, 405, 406, 407, 408, 409, 412, 550, 551, 553
    ),
    "300vw_category_3": (
        410, 411, 516, 517, 526, 528, 529, 530, 531, 533, 557, 558, 559, 562
    ),
}
# fmt: on
SOURCES = {f"{video:03d}": source for source, videos in VIDEOS.items() for video in videos}


def clips_300vw(folder: Path) -> tuple[list[ClipRecord], list[dict]]:
    """Records of the videos that are there, sorted, and rejected rows. identity: the video. source: 300vw_train or 300vw_category_1, _2, _3.

    truth: the folder of annotations, None where there is none; of a training clip nobody but `annotated_frames` reads it.
    Raises FileNotFoundError where no video is there.
    """
    paths = [folder / video / "vid.avi" for video in sorted(SOURCES) if (folder / video / "vid.avi").is_file()]
    if not paths:
        raise FileNotFoundError(
            f"{folder} of params.yaml, videos.ibug_300vw, has no video such as 001/vid.avi: unpack 300VW so that its folders 001 to 562, "
            "each with vid.avi and annot/*.pts, lie in it; or set videos.ibug_300vw to null"
        )
    clips, rejected = readable_clips(
        {
            "path": path,
            "clip_id": f"300vw.{path.parent.name}",
            "split": "train" if SOURCES[path.parent.name] == "300vw_train" else "test",
            "identity": f"300vw.{path.parent.name}",
            "source": SOURCES[path.parent.name],
            "licence": LICENCE,
        }
        for path in paths
    )
    return [replace(clip, truth=_annotations(Path(clip.path))) for clip in clips], rejected


def _annotations(video: Path) -> str | None:
    folder = video.with_name("annot")
    return str(folder) if any(folder.glob("*.pts")) else None


def annotated_frames(clip: ClipRecord, share: float, scheme: LandmarkScheme) -> Iterator[LabelledFace | dict]:
    """`share` of the annotated frames of a training clip, spread evenly over them, or rejected rows: what Semi-STRRN adds to S."""
    files = sorted(Path(clip.truth).glob("*.pts")) if clip.truth else []
    for index in evenly_spread(len(files), share):
        image_id = f"{clip.clip_id}/{files[index].stem}"
        try:
            points = read_pts(files[index], scheme)
            yield LabelledFace(
                image_id, clip.identity, clip.split, clip.source, clip.licence, Path(clip.path), frame_of(files[index]), points
            )
        except LabelError as error:
            yield error.row(image_id)


def read_annotations(folder: Path, scheme: LandmarkScheme) -> np.ndarray:
    """(T, L, 2) float32 points of frames 0..T-1, the last annotated; NaN in a frame without. Raises ValueError naming a damaged file."""
    files = {frame_of(file): file for file in folder.glob("*.pts")}
    points = np.full((max(files) + 1, scheme.num_landmarks, 2), np.nan, np.float32)
    for frame, file in files.items():
        points[frame] = read_pts(file, scheme)
    return points


def frame_of(file: Path) -> int:
    """000001.pts belongs to frame 0. Raises ValueError for a name that is no number from 1 on."""
    if not file.stem.isdecimal() or int(file.stem) == 0:
        raise ValueError(f"{file}: the annotations of 300VW are called by the frame's number from 1 on, such as 000001.pts")
    return int(file.stem) - 1
