"""S, the labelled stills: which of them there are. Rendered ones come from the render stage, photographs and frames of clips from here."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from strrn.core.landmarks import LandmarkScheme
from strrn.data.sources.ibug_300vw import annotated_frames
from strrn.data.sources.ibug_300w import faces_300w
from strrn.data.sources.labelled import LabelledFace
from strrn.data.sources.own_labels import own_faces
from strrn.data.sources.record import ClipRecord, check_shares
from strrn.data.sources.rendered import rendered_frames

SHOWN = 3  # rejected rows in a message


class TooManyRejectedError(ValueError):
    """More labelled faces cannot be used than `max_rejected` allows; rows: of them, as in rejected.jsonl."""

    def __init__(self, message: str, rows: Sequence[dict]) -> None:
        super().__init__(message)
        self.rows = rows


@dataclass(frozen=True)
class LabelParameters:
    """rendered: whether the rendered stills belong to S. ibug_300w: folder of 300-W, or null. own: the user's folders of pictures with .pts
    files, CSV files, or COCO keypoints (.json). val, test: shares of the photographs. semi_share: share of the annotated frames of training
    clips that joins S (Semi-STRRN: 0.1, 0.25, 0.5), of 300VW's and, where `rendered` is true, of the rendered ones. max_rejected: share of
    all these faces that may be unusable."""

    rendered: bool
    ibug_300w: str | None
    own: list[str]
    val: float
    test: float
    semi_share: float
    max_rejected: float

    def __post_init__(self) -> None:
        check_shares(self.val, self.test)
        for key in ("semi_share", "max_rejected"):
            if not 0 <= getattr(self, key) <= 1:
                raise ValueError(f"{key} must be a share in 0..1, found {getattr(self, key)}")
        if not (self.rendered or self.ibug_300w or self.own or self.semi_share):
            raise ValueError("nothing is labelled: set rendered to true, or name pictures in ibug_300w or own")


def labelled_faces(
    parameters: LabelParameters, clips: Sequence[ClipRecord], scheme: LandmarkScheme
) -> tuple[list[LabelledFace], list[dict]]:
    """What joins the rendered stills in S, in a fixed order, and rejected rows. clips: `semi_share` is of the training clips with truth.

    Raises ValueError where semi_share finds no annotation and where two faces share an id, TooManyRejectedError where too many are unusable;
    FileNotFoundError for a folder that lacks what it should hold.
    """
    kinds = ("real", "rendered") if parameters.rendered else ("real",)
    annotated = [clip for clip in clips if clip.kind in kinds and clip.split == "train" and clip.truth] if parameters.semi_share else []
    if parameters.semi_share and not annotated:
        raise ValueError(
            "params.yaml: labels.semi_share is set, but there is no annotated training video: name 300VW in videos.ibug_300vw, or set "
            "labels.rendered to true"
        )
    found = list(_found(parameters, annotated, scheme))
    faces = [face for face in found if isinstance(face, LabelledFace)]
    rejected = [row for row in found if not isinstance(row, LabelledFace)]
    repeated = sorted(name for name, count in Counter(face.image_id for face in faces).items() if count > 1)
    if repeated:
        raise ValueError(f"labelled faces share the ids {repeated[:SHOWN]}: rename the folders or files of params.yaml, labels.own")
    splits: dict[Path, str] = {}
    for face in faces:
        if splits.setdefault(face.path.resolve(), face.split) != face.split:
            raise ValueError(
                f"{face.path} would be in {face.split} and in {splits[face.path.resolve()]}: params.yaml, labels names it twice, "
                "leave one out"
            )
    check_rejected(rejected, len(found), parameters.max_rejected)
    return faces, rejected


def _found(parameters: LabelParameters, annotated: Iterable[ClipRecord], scheme: LandmarkScheme) -> Iterator[LabelledFace | dict]:
    if parameters.ibug_300w:
        yield from faces_300w(Path(parameters.ibug_300w), scheme, parameters.val, parameters.test)
    for path in parameters.own:
        yield from own_faces(Path(path), scheme, parameters.val, parameters.test)
    for clip in annotated:
        frames = rendered_frames if clip.kind == "rendered" else annotated_frames
        yield from frames(clip, parameters.semi_share, scheme)


def check_rejected(rejected: Sequence[dict], total: int, allowed: float) -> None:
    """Raises TooManyRejectedError where more than the share `allowed` of `total` labelled faces is rejected."""
    if len(rejected) > allowed * total:
        some = "; ".join(f"{row['image_id']}: {row['reason']} ({row['detail']})" for row in rejected[:SHOWN])
        message = (
            f"{len(rejected)} of {total} labelled faces cannot be used, labels.max_rejected in params.yaml allows {allowed:.0%}: {some}"
        )
        raise TooManyRejectedError(f"{message}; …" if len(rejected) > SHOWN else message, rejected)
