"""The labelled pictures that every round is tested on, by dataset: the split `test` of the rendered stills, of the user's own labels, and of
300-W."""

from collections.abc import Set
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from strrn.core.images import decode_image
from strrn.core.landmarks import LandmarkScheme
from strrn.core.summary import STILLS
from strrn.core.tables import read_table, stills_schema
from strrn.data.sources.labels import LabelParameters, labelled_faces
from strrn.evaluation.clips import EvaluationClip
from strrn.evaluation.predictions import ClipTruth


@dataclass(frozen=True)
class EvaluationStill:
    """A labelled face that no model learned from, in its whole picture: a clip of one frame.

    clip_id: the face's image_id. picture: encoded, or its file. points_frame: (L, 2) float32 in pixels of the picture, NaN where unlabelled.
    """

    clip_id: str
    dataset: str
    picture: bytes | Path
    points_frame: np.ndarray

    @property
    def num_frames(self) -> int:
        return 1

    @property
    def truth(self) -> ClipTruth:
        return ClipTruth(self.points_frame[None], np.isfinite(self.points_frame).all(-1)[None])

    def read(self) -> np.ndarray:
        """(H, W, 3) uint8 RGB. Raises FileNotFoundError or ValueError for a picture that is gone or damaged."""
        return decode_image(self.picture if isinstance(self.picture, bytes) else self.picture.read_bytes(), self.clip_id)


Tested = EvaluationClip | EvaluationStill


def rendered_stills(path: Path, scheme: LandmarkScheme) -> list[EvaluationStill]:
    """Those of a table of stills. Raises ValueError where it is not one of the scheme."""
    table = read_table(path, stills_schema(scheme.num_landmarks))
    columns = (table[name] for name in ("image_id", "image", "points_frame", "valid"))
    return [
        EvaluationStill(image_id, STILLS["rendered"], image, np.where(valid.astype(bool)[:, None], points, np.float32(np.nan)))
        for image_id, image, points, valid in zip(*columns, strict=True)
    ]


def photographs(labels: LabelParameters, scheme: LandmarkScheme) -> list[EvaluationStill]:
    """The faces of 300-W and of the user's pictures whose split is test; none where params.yaml names no such pictures.

    What cannot be used is left out, for the stage `crop` lists and limits it. Raises as `labelled_faces`.
    """
    if not (labels.ibug_300w or labels.own):
        return []
    faces, _ = labelled_faces(replace(labels, semi_share=0.0, max_rejected=1.0), [], scheme)
    return [EvaluationStill(face.image_id, STILLS[face.source], face.path, face.points_frame) for face in faces if face.split == "test"]


def held_out_stills(rendered: Path, usable: Set[str], labels: LabelParameters, scheme: LandmarkScheme) -> list[EvaluationStill]:
    """All of them, in a fixed order. rendered: the table of the rendered test stills. usable: ids of the test stills that `crop` kept."""
    stills = rendered_stills(rendered, scheme) if labels.rendered else []
    return [still for still in stills + photographs(labels, scheme) if still.clip_id in usable]
