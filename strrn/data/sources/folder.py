"""A folder of the user's own videos: unlabelled training clips."""

from collections.abc import Iterator
from pathlib import Path

from strrn.core.files import files_below
from strrn.core.video import VIDEO_SUFFIXES


def folder_videos(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield (clip id, path) of the videos in the folder and below, sorted by path. The id is the path below the folder's parent, with dots.

    Raises FileNotFoundError where the folder is missing or holds no video; ValueError where two videos would share an id.
    """
    if not folder.is_dir():
        raise FileNotFoundError(
            f"folder {folder} of params.yaml, crop.folders, does not exist: make it and put your videos in, or drop the entry"
        )
    paths = [path for path in files_below(folder) if path.suffix.lower() in VIDEO_SUFFIXES]
    if not paths:
        raise FileNotFoundError(f"folder {folder} holds no video: put files with one of the endings {', '.join(VIDEO_SUFFIXES)} in")
    seen: dict[str, Path] = {}
    for path in paths:
        clip_id = ".".join(path.relative_to(folder.parent).with_suffix("").parts)
        if clip_id in seen:
            raise ValueError(f"videos {seen[clip_id]} and {path} would share the clip id {clip_id!r}: rename one of them")
        seen[clip_id] = path
        yield clip_id, path
