"""Fingerprints of what lies outside the pipeline and is learned from or tested on: own labels, pictures and videos, research sets."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from strrn.core.progress import progress
from strrn.core.video import VIDEO_SUFFIXES

PIECE = 1 << 14  # bytes


def fingerprint(files: Sequence[Path], origin: Path, *, contents: bool = True) -> dict:
    """{"files": how many, "sha256": of their paths from the folder `origin` on, their sizes and, with `contents`, their bytes}.

    Of a video, the bytes are its beginning, middle and end, so that hours of it take no time: one that was cut or encoded anew differs there
    or in size. Raises OSError for a file that cannot be read.
    """
    digest = hashlib.sha256()
    for path in progress(files, f"look at {origin}") if contents else files:
        size = path.stat().st_size
        digest.update(f"{Path(os.path.relpath(path, origin)).as_posix()}\0{size}\0".encode("utf-8", "surrogateescape"))
        if contents:
            digest.update(_pieces(path, size) if path.suffix.lower() in VIDEO_SUFFIXES and size > 3 * PIECE else path.read_bytes())
    return {"files": len(files), "sha256": digest.hexdigest()}


def _pieces(path: Path, size: int) -> bytes:
    pieces = []
    with path.open("rb") as file:
        for start in (0, (size - PIECE) // 2, size - PIECE):
            file.seek(start)
            pieces.append(file.read(PIECE))
    return b"".join(pieces)
