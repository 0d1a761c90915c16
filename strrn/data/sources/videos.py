"""The research sets of video: which of them there are."""

from dataclasses import dataclass
from pathlib import Path

from strrn.data.sources.ibug_300vw import clips_300vw
from strrn.data.sources.record import ClipRecord, check_shares
from strrn.data.sources.youtube_celebrities import youtube_celebrities
from strrn.data.sources.youtube_faces import youtube_faces


@dataclass(frozen=True)
class VideoParameters:
    """ibug_300vw, youtube_faces, youtube_celebrities: folders, or null. val, test: shares of the people of the last two; 300VW has its own
    division."""

    ibug_300vw: str | None
    youtube_faces: str | None
    youtube_celebrities: str | None
    val: float
    test: float

    def __post_init__(self) -> None:
        check_shares(self.val, self.test)


def research_clips(parameters: VideoParameters) -> tuple[list[ClipRecord], list[dict]]:
    """Records of the sets that are named, and rejected rows for videos that cannot be opened. Raises FileNotFoundError, see the sources."""
    sets = []
    if parameters.ibug_300vw:
        sets.append(clips_300vw(Path(parameters.ibug_300vw)))
    if parameters.youtube_faces:
        sets.append(youtube_faces(Path(parameters.youtube_faces), parameters.val, parameters.test))
    if parameters.youtube_celebrities:
        sets.append(youtube_celebrities(Path(parameters.youtube_celebrities), parameters.val, parameters.test))
    return [clip for clips, _ in sets for clip in clips], [row for _, rejected in sets for row in rejected]
