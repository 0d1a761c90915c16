"""Folders of the user's own videos: unlabelled training clips."""

import logging
from collections.abc import Sequence
from pathlib import Path

from strrn.core.files import files_below
from strrn.core.video import VIDEO_SUFFIXES

log = logging.getLogger(__name__)


def own_videos(folders: Sequence[str]) -> list[tuple[str, str, Path]]:
    """(folder, clip id, path) of the videos in each of the folders and below, sorted by path. The id is the path below the folder's parent,
    with dots.

    Raises FileNotFoundError where a folder is missing or holds no video; ValueError where one folder is another or lies in it, and where two
    videos would share an id.
    """
    seen: dict[Path, str] = {}
    for folder in folders:
        here = Path(folder).resolve()
        for other, name in seen.items():
            if here == other or other in here.parents or here in other.parents:
                raise ValueError(f"params.yaml, crop.folders: {folder} and {name} have the same videos: drop one of the entries")
        seen[here] = folder
    found = [(folder, clip_id, path) for folder in folders for clip_id, path in _videos(Path(folder))]
    ids: dict[str, Path] = {}
    for _, clip_id, path in found:
        if clip_id in ids:
            raise ValueError(f"videos {ids[clip_id]} and {path} would share the clip id {clip_id!r}: rename one of them, or its folder")
        ids[clip_id] = path
    return found


def _videos(folder: Path) -> list[tuple[str, Path]]:
    if not folder.is_dir():
        raise FileNotFoundError(
            f"folder {folder} of params.yaml, crop.folders, does not exist: make it and put your videos in, or drop the entry"
        )
    for link in (path for path in folder.rglob("*") if path.is_symlink() and path.is_dir()):
        log.warning("%s is a link to a folder: what is in it is not used. Name it in params.yaml, crop.folders", link)
    paths = [path for path in files_below(folder) if path.suffix.lower() in VIDEO_SUFFIXES]
    if not paths:
        raise FileNotFoundError(f"folder {folder} holds no video: put files with one of the endings {', '.join(VIDEO_SUFFIXES)} in")
    return [(".".join(path.relative_to(folder.parent).with_suffix("").parts), path) for path in paths]
