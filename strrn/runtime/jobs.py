"""From what a user names (a video, a folder, a camera) to the files that are read and written."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from strrn.core.files import files_below
from strrn.core.images import IMAGE_SUFFIXES
from strrn.core.video import VIDEO_SUFFIXES

OVERLAYS = ("mp4", "webm", "none")
TABLES = ("csv", "parquet", "jsonl")


@dataclass(frozen=True)
class Job:
    """source: a video file, a folder of images, or the number of a camera. overlay: None for none. of_folder: one of a folder's videos."""

    source: Path | int
    name: str
    overlay: Path | None
    table: Path
    of_folder: bool = False

    @property
    def outputs(self) -> list[Path]:
        return [path for path in (self.overlay, self.table) if path is not None]

    @property
    def existing(self) -> list[Path]:
        return [path for path in self.outputs if path.exists()]

    @property
    def note(self) -> Path:
        """Says what ended a damaged video, whose outputs hold the frames before."""
        return self.table.with_suffix(".damaged.txt")

    @property
    def is_done(self) -> bool:
        """Whether all outputs are there, and younger than the video."""
        if self.existing != self.outputs or isinstance(self.source, int):
            return False
        return all(path.stat().st_mtime >= self.source.stat().st_mtime for path in self.outputs)


def plan_all(sources: Sequence[str], out: Path, overlay: str, table: str) -> list[Job]:
    """`plan` for everything that is named; several videos are treated as those of a folder, without the overlays of earlier runs.

    Raises ValueError where two would write the same file, or one the other's video.
    """
    if len(sources) == 1:
        return plan(sources[0], out, overlay, table)
    if _is_file_name(out):
        raise ValueError(f"--out {out}: several videos need a folder")
    jobs = [replace(job, of_folder=True) for source in sources if not _is_overlay(Path(source)) for job in plan(source, out, overlay, table)]
    if not jobs:
        raise ValueError("only overlays of earlier runs are named: name the videos")
    if any(isinstance(job.source, int) for job in jobs):
        raise ValueError("a camera cannot be tracked together with anything else")
    first: dict[Path, Job] = {}
    for job in jobs:
        other = first.setdefault(job.table, job)
        if other is not job:
            raise ValueError(f"{other.source} and {job.source} would both become {job.table}: track them one by one, with an --out each")
    read = {job.source.resolve() for job in jobs}
    for job in jobs:
        if job.overlay is not None and job.overlay.resolve() in read:
            raise ValueError(f"{job.overlay} would be replaced by what is drawn on {job.source}: give another --out")
    return jobs


def plan(source: str, out: Path, overlay: str, table: str) -> list[Job]:
    """The jobs for a video, an image sequence, a camera (one each), or the videos of a folder and below (one a video).

    out: a folder, or for one video a name that ends in .mp4 or .webm. overlay, table: of OVERLAYS and TABLES. Raises FileNotFoundError
    or ValueError with the cure.
    """
    for value, allowed, option in ((overlay, OVERLAYS, "--overlay"), (table, TABLES, "--table")):
        if value not in allowed:
            raise ValueError(f"{option} {value}: expected one of {', '.join(allowed)}")
    if not source:
        raise ValueError("IN is empty: name a video, a folder (. for this one) or the number of a camera")
    if out.exists() and not os.access(out if out.is_dir() else out.parent, os.W_OK):
        raise PermissionError(f"--out {out} may not be written to: give another")
    path = Path(source)
    if source.isdecimal() and not path.exists():
        return [_job(int(source), f"camera{source}", out, overlay, table)]
    if not path.exists():
        raise FileNotFoundError(f"no video at {source}")
    videos = _videos_below(path, out) if path.is_dir() else []
    if not videos:
        if path.is_dir() and not any(file.suffix.lower() in IMAGE_SUFFIXES for file in path.iterdir()):
            endings = ", ".join(VIDEO_SUFFIXES)
            raise FileNotFoundError(f"{path} holds no video and no images: put files with one of the endings {endings} in")
        job = _job(path, path.stem if path.is_file() else path.resolve().name, out, overlay, table)
        if job.overlay is not None and job.overlay.resolve() == path.resolve():
            raise ValueError(f"--out {out} is the video itself: give another name")
        return [job]
    if _is_file_name(out):
        raise ValueError(f"--out {out}: the videos of {path} need a folder")
    names = names_below(path, videos)
    return [replace(_job(file, str(name), out, overlay, table), of_folder=True) for file, name in zip(videos, names, strict=True)]


def not_videos(folder: Path, out: Path) -> list[Path]:
    """The files in a folder of videos and below that are neither videos, nor hidden, nor what a run wrote."""
    found = [file for file in files_below(folder, out) if file.suffix.lower() not in VIDEO_SUFFIXES]
    return [file for file in found if ".landmarks" not in file.suffixes]


def _videos_below(folder: Path, out: Path) -> list[Path]:
    """Without what an earlier run wrote."""
    return [file for file in files_below(folder, out) if file.suffix.lower() in VIDEO_SUFFIXES and not _is_overlay(file)]


def names_below(folder: Path, files: Sequence[Path]) -> list[Path]:
    """Their paths below the folder, without ending where that leaves no two equal."""
    stems = Counter(file.with_suffix("") for file in files)
    return [(file if stems[file.with_suffix("")] > 1 else file.with_suffix("")).relative_to(folder) for file in files]


def _job(source: Path | int, name: str, out: Path, overlay: str, table: str) -> Job:
    if _is_file_name(out):
        if out.suffix.lower() not in (".mp4", ".webm"):
            raise ValueError(f"--out {out}: expected a folder or a name that ends in .mp4 or .webm")
        return Job(source, name, None if overlay == "none" else out, out.with_suffix(f".{table}"))
    if out.is_file():
        raise ValueError(f"--out {out} is a file: give a folder or a name that ends in .mp4 or .webm")
    video = None if overlay == "none" else out / f"{name}.overlay.{overlay}"
    return Job(source, name, video, out / f"{name}.landmarks.{table}")


def _is_overlay(file: Path) -> bool:
    return ".overlay" in file.suffixes


def _is_file_name(out: Path) -> bool:
    """Whether it is meant as a file's: a folder may have a dot in its name as well."""
    return not out.is_dir() and out.suffix.lower() in (*VIDEO_SUFFIXES, *IMAGE_SUFFIXES, *(f".{table}" for table in TABLES))
