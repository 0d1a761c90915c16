"""Landmarks of photographs, each on its own: a table of labels to correct and learn from, and the photographs with landmarks on them."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from strrn.core.files import atomic, files_below
from strrn.core.images import IMAGE_SUFFIXES, decode_image, encode_jpeg
from strrn.runtime.jobs import names_below
from strrn.runtime.label_files import LABEL_FILES, csv_rows
from strrn.runtime.overlay import draw_faces
from strrn.runtime.tracker import Tracker

REJECTED = "landmarks.rejected.csv"
NO_FACE = "no face"
DRAWN = ".landmarks.jpg"
QUALITY = 92
LABEL_SUFFIXES = (".csv", ".json", ".pts", ".bak")


@dataclass(frozen=True)
class Photograph:
    """drawn: where it is written with its landmarks on it."""

    path: Path
    drawn: Path


@dataclass
class Outcome:
    """faces: how many of them were found; rejected: photographs without one, and why."""

    faces: int = 0
    rejected: dict[Path, str] = field(default_factory=dict)

    @property
    def unreadable(self) -> list[str]:
        return [reason for reason in self.rejected.values() if reason != NO_FACE]


def find_photographs(sources: Sequence[str], out: Path) -> list[Photograph]:
    """The pictures that are named, or lie in named folders and below; without hidden ones and what is in `out`, where that is a folder of
    its own below, and without drawn ones.

    Raises FileNotFoundError or ValueError, with the cure, for what is no picture and where two would be drawn into one file.
    """
    found: dict[Path, Path] = {}  # drawn -> picture
    named = [Path(source) for source in sources if not source.endswith(DRAWN)]
    if not named:
        raise ValueError("only pictures that were drawn before are named: name the pictures")
    for source in named:
        if source.is_dir():
            pictures = [file for file in files_below(source, out) if _is_picture(file)]
        elif source.is_file() and source.suffix.lower() in IMAGE_SUFFIXES:
            pictures = [source]
        else:
            pictures = []
        if not pictures:
            what = "holds no picture" if source.is_dir() else "is no picture" if source.exists() else "does not exist"
            raise FileNotFoundError(f"{source} {what}: expected files that end in one of {', '.join(IMAGE_SUFFIXES)}, or a folder of them")
        for picture, name in zip(pictures, names_below(source if source.is_dir() else source.parent, pictures), strict=True):
            drawn = out / f"{name}{DRAWN}"
            if found.setdefault(drawn, picture).resolve() != picture.resolve():
                raise ValueError(f"{found[drawn]} and {picture} would both be drawn into {drawn}: take them one by one, with an --out each")
    return [Photograph(picture, drawn) for drawn, picture in found.items()]


def not_pictures(folder: Path, out: Path) -> list[Path]:
    """The files in a folder and below that are neither pictures, nor hidden, nor what a run or a user wrote of their labels."""
    found = [file for file in files_below(folder, out) if not _is_picture(file) and ".landmarks" not in file.suffixes]
    return [file for file in found if file.suffix.lower() not in LABEL_SUFFIXES]


def _is_picture(file: Path) -> bool:
    return file.suffix.lower() in IMAGE_SUFFIXES and not file.name.endswith(DRAWN)


def annotate(photographs: Iterable[Photograph], tracker: Tracker, table: str, out: Path, draws: bool) -> Outcome:
    """Find the faces of the photographs with a tracker of running mode `image`, the largest of a photograph first.

    Writes into `out` one of LABEL_FILES, with the photographs' names as seen from there, and REJECTED, which lists those without a face
    and why; both appear when all are done. draws: also the photographs with the landmarks on them.
    """
    outcome, scheme = Outcome(), tracker.info.scheme
    file, labels = LABEL_FILES[table]
    with csv_rows(out / REJECTED) as reject, labels(out / file, scheme) as write:
        reject(["image", "reason"])
        for photograph in photographs:
            name = Path(os.path.relpath(photograph.path.resolve(), out.resolve())).as_posix()
            try:
                picture = decode_image(photograph.path.read_bytes(), str(photograph.path))
                faces = [face for face in tracker(picture) if face.has_points]
                reason = "" if faces else NO_FACE
            except (ValueError, OSError) as error:
                reason = str(error)
            if reason:
                outcome.rejected[photograph.path] = reason
                reject([name, reason])
                continue
            outcome.faces += len(faces)
            faces.sort(key=lambda face: np.prod(np.ptp(face.points_frame, 0)), reverse=True)
            write(name, picture, faces)
            if draws:
                with atomic(photograph.drawn) as drawn:
                    drawn.write_bytes(encode_jpeg(draw_faces(picture, faces, scheme), QUALITY))
    if not outcome.rejected:
        (out / REJECTED).unlink()
    return outcome
