"""Fingerprints of what lies outside the pipeline and is learned from or tested on: own labels, pictures and videos, research sets."""

import hashlib
import os
from collections.abc import Collection, Sequence
from pathlib import Path

from strrn.core.progress import progress

PIECE = 1 << 14  # bytes


def fingerprint(files: Sequence[Path], origin: Path, whole: Collection[Path] = (), *, contents: bool = True) -> dict:
    """{"files": how many, "sha256": of their paths from the folder `origin` on, their sizes and, with `contents`, their bytes}.

    Of a file of more than 48 KiB that is not in `whole` the bytes are its beginning, middle and end, so that hours of video take seconds;
    a picture or a video that was made anew differs there or in size. Raises OSError for a file that cannot be read.
    """
    digest = hashlib.sha256()
    for path in progress(files, f"look at {origin}") if contents else files:
        size = path.stat().st_size
        digest.update(f"{Path(os.path.relpath(path, origin)).as_posix()}\0{size}\0".encode("utf-8", "surrogateescape"))
        if contents:
            digest.update(path.read_bytes() if path in whole or size <= 3 * PIECE else _pieces(path, size))
    return {"files": len(files), "sha256": digest.hexdigest()}


def _pieces(path: Path, size: int) -> bytes:
    pieces = []
    with path.open("rb") as file:
        for start in (0, (size - PIECE) // 2, size - PIECE):
            file.seek(start)
            pieces.append(file.read(PIECE))
    return b"".join(pieces)
