"""The record of a clip: where it is, what it shows, and what it may be used for."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from strrn.core.files import read_json_lines
from strrn.core.video import VideoError, probe

SPLITS = ("train", "val", "test")
KINDS = ("rendered", "head_scan", "real")


@dataclass(frozen=True)
class ClipRecord:
    """path, truth (or None): as they can be opened from here. identity: the person; splits are by identity and by clip, never by frame."""

    clip_id: str
    path: str
    kind: str
    split: str
    identity: str
    source: str
    licence: str
    num_frames: int
    fps: float
    height: int
    width: int
    truth: str | None

    def __post_init__(self) -> None:
        if self.split not in SPLITS or self.kind not in KINDS:
            raise ValueError(f"clip {self.clip_id}: split {self.split!r} and kind {self.kind!r}, expected one of {SPLITS} and of {KINDS}")

    def to_dict(self) -> dict:
        return asdict(self)


def split_of(name: str, val: float, test: float) -> str:
    """The split of a person or photograph: its name's SHA-256 as a number in [0, 1), below `test`, below `test + val`, or above."""
    position = int(hashlib.sha256(name.encode()).hexdigest()[:12], 16) / 16**12
    return "test" if position < test else "val" if position < test + val else "train"


def check_shares(val: float, test: float) -> None:
    """Raises ValueError where the shares are negative or leave nothing to train on."""
    if not (val >= 0 and test >= 0 and val + test < 1):
        raise ValueError(f"val and test must be shares, at least 0 and together below 1, found {val} and {test}")


def readable_clips(videos: Iterable[Mapping]) -> tuple[list[ClipRecord], list[dict]]:
    """The records of the videos (keywords of `unlabelled_clip`) that can be opened, and rejected rows for the others."""
    clips, rejected = [], []
    for video in videos:
        try:
            clips.append(unlabelled_clip(**video))
        except VideoError as error:
            rejected.append({"clip_id": video["clip_id"], "reason": "unreadable", "detail": str(error)})
    return clips, rejected


def unlabelled_clip(path: Path, *, clip_id: str, split: str, identity: str, source: str, licence: str) -> ClipRecord:
    """The record of a real video; decodes its first frame. Raises FileNotFoundError or VideoError."""
    info = probe(path)
    return ClipRecord(
        clip_id=clip_id,
        path=str(path),
        kind="real",
        split=split,
        identity=identity,
        source=source,
        licence=licence,
        num_frames=info.num_frames,
        fps=info.fps,
        height=info.height,
        width=info.width,
        truth=None,
    )


def read_clips(path: Path) -> list[ClipRecord]:
    """Records of a clips.jsonl, with its paths taken from its folder. Raises ValueError naming the line that is not a record."""
    records = []
    for number, row in enumerate(read_json_lines(path), 1):
        try:
            truth = None if row["truth"] is None else str(path.parent / row["truth"])
            records.append(ClipRecord(**{**row, "path": str(path.parent / row["path"]), "truth": truth}))
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path}, line {number} is not a clip record: {error}") from error
    return records
