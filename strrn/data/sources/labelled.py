"""A labelled face: where its picture is, and its points. What a user's labels and 300-W have in common."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from strrn.core.images import decode_image
from strrn.core.video import read_frames


class LabelError(ValueError):
    """Why a label cannot be used: `reason` is the same for all of a kind, the message has the details."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)  # both, or it would not survive the way from a worker process
        self.reason = reason

    def __str__(self) -> str:
        return self.args[1]

    def row(self, image_id: str) -> dict:
        """For rejected.jsonl."""
        return {"image_id": image_id, "reason": self.reason, "detail": str(self)}


@dataclass(frozen=True)
class LabelledFace:
    """identity: the person, or the photograph where nobody knows who is on it; it decides the split. path: a picture, or a video of which
    `frame` is meant. points_frame: (L, 2) float32, 0-based, NaN where unlabelled.

    Raises LabelError where there is no such file, or where there are not two different labelled points.
    """

    image_id: str
    identity: str
    split: str
    source: str
    licence: str
    path: Path
    frame: int | None
    points_frame: np.ndarray

    def __post_init__(self) -> None:
        if not self.path.is_file():
            raise LabelError("missing image", f"{self.path} does not exist")
        if len(np.unique(self.points_frame[np.isfinite(self.points_frame).all(-1)], axis=0)) < 2:
            raise LabelError("too few labels", "there are not two different labelled points")

    @property
    def valid(self) -> np.ndarray:
        """(L,) bool."""
        return np.isfinite(self.points_frame).all(-1)


def by_file(faces: Iterable[LabelledFace]) -> list[list[LabelledFace]]:
    """The faces of each file together, in the order in which the files come first."""
    files: dict[Path, list[LabelledFace]] = {}
    for face in faces:
        files.setdefault(face.path, []).append(face)
    return list(files.values())


def evenly_spread(total: int, share: float) -> np.ndarray:
    """The indices of round(share * total) of `total` frames, in the middle of as many equal parts: (N,) int, ascending."""
    count = round(share * total)
    return ((np.arange(count) + 0.5) * total / max(count, 1)).astype(int)


def pictures_of(faces: Sequence[LabelledFace]) -> Iterator[np.ndarray]:
    """The (H, W, 3) uint8 RGB picture of each face; all are of one file, frames of a video in ascending order.

    Raises ValueError where the file cannot be decoded, or ends before a frame that is asked for.
    """
    path = faces[0].path
    if faces[0].frame is None:
        image = decode_image(path.read_bytes(), str(path))
        yield from (image for _ in faces)
        return
    wanted = [face.frame for face in faces]
    for index, _, frame in read_frames(path):
        if wanted and index == wanted[0]:
            wanted.pop(0)
            yield frame
    if wanted:
        raise ValueError(f"{path} ends before frame {wanted[0]}")
