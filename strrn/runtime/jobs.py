"""From what a user names (a video, a folder, a camera) to the files that are read and written."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from strrn.core.images import IMAGE_SUFFIXES

VIDEO_SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv")
OVERLAYS = ("mp4", "webm", "none")
TABLES = ("csv", "parquet", "jsonl")


@dataclass(frozen=True)
class Job:
    """source: a video file, a folder of images, or the number of a camera. overlay: None for none."""

    source: Path | int
    name: str
    overlay: Path | None
    table: Path

    @property
    def outputs(self) -> list[Path]:
        return [path for path in (self.overlay, self.table) if path is not None]

    @property
    def existing(self) -> list[Path]:
        return [path for path in self.outputs if path.exists()]


def plan(source: str, out: Path, overlay: str, table: str) -> list[Job]:
    """The jobs for a video, an image sequence, a camera (one each), or the videos of a folder and below (one a video).

    out: a folder, or for one video a name that ends in .mp4 or .webm. overlay, table: of OVERLAYS and TABLES. Raises FileNotFoundError
    or ValueError with the cure.
    """
    for value, allowed, option in ((overlay, OVERLAYS, "--overlay"), (table, TABLES, "--table")):
        if value not in allowed:
            raise ValueError(f"{option} {value}: expected one of {', '.join(allowed)}")
    path = Path(source)
    if source.isdecimal() and not path.exists():
        return [_job(int(source), f"camera{source}", out, overlay, table)]
    if path.is_file() or (path.is_dir() and _is_sequence(path)):
        job = _job(path, path.stem if path.is_file() else path.resolve().name, out, overlay, table)
        if job.overlay is not None and job.overlay.resolve() == path.resolve():
            raise ValueError(f"--out {out} is the video itself: give another name")
        return [job]
    if not path.is_dir():
        raise FileNotFoundError(f"no video at {source}")
    videos = sorted(file for file in path.rglob("*") if file.suffix.lower() in VIDEO_SUFFIXES and file.is_file())
    videos = [file for file in videos if out.resolve() not in file.resolve().parents or out.resolve() in path.resolve().parents]
    videos = [file for file in videos if ".overlay" not in file.suffixes]
    if not videos:
        raise FileNotFoundError(f"{path} holds no video and no images: put files with one of the endings {', '.join(VIDEO_SUFFIXES)} in")
    if out.suffix and not out.is_dir():
        raise ValueError(f"--out {out}: the {len(videos)} videos of {path} need a folder")
    stems = Counter(file.with_suffix("") for file in videos)
    names = [file.relative_to(path) if stems[file.with_suffix("")] > 1 else file.relative_to(path).with_suffix("") for file in videos]
    return [_job(file, str(name), out, overlay, table) for file, name in zip(videos, names, strict=True)]


def _is_sequence(folder: Path) -> bool:
    suffixes = {file.suffix.lower() for file in folder.iterdir()}
    return bool(suffixes & set(IMAGE_SUFFIXES)) and not suffixes & set(VIDEO_SUFFIXES)


def _job(source: Path | int, name: str, out: Path, overlay: str, table: str) -> Job:
    if out.suffix in (".mp4", ".webm") and not out.is_dir():
        return Job(source, name, None if overlay == "none" else out, out.with_suffix(f".{table}"))
    if out.suffix and not out.is_dir():
        raise ValueError(f"--out {out}: expected a folder or a name that ends in .mp4 or .webm")
    video = None if overlay == "none" else out / f"{name}.overlay.{overlay}"
    return Job(source, name, video, out / f"{name}.landmarks.{table}")
