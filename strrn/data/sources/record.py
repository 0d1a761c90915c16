"""The record of a clip: where it is, what it shows, and what it may be used for."""

from dataclasses import asdict, dataclass
from pathlib import Path

from strrn.core.files import read_json_lines
from strrn.core.video import probe

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
