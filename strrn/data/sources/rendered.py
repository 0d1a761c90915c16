"""The rendered training clips: unlabelled video, unless a share of their truth is asked for (Semi-STRRN)."""

from collections.abc import Iterator
from pathlib import Path

from strrn.core.landmarks import LandmarkScheme
from strrn.core.tables import read_table, truth_schema
from strrn.data.sources.labelled import LabelError, LabelledFace, evenly_spread
from strrn.data.sources.record import ClipRecord


def rendered_frames(clip: ClipRecord, share: float, scheme: LandmarkScheme) -> Iterator[LabelledFace | dict]:
    """`share` of the frames of a rendered training clip with their truth, spread evenly over it, or rejected rows.

    Raises ValueError where the truth is no table of the scheme.
    """
    truth = read_table(clip.truth, truth_schema(scheme.num_landmarks)) if clip.truth else {"frame": ()}
    for row in evenly_spread(len(truth["frame"]), share):
        frame, points = int(truth["frame"][row]), truth["points_frame"][row].copy()
        points[~truth["valid"][row].astype(bool)] = float("nan")
        image_id = f"{clip.clip_id}/{frame:06d}"
        try:
            yield LabelledFace(image_id, clip.identity, clip.split, clip.source, clip.licence, Path(clip.path), frame, points)
        except LabelError as error:
            yield error.row(image_id)
