"""Takes named files out of a zip or tar archive, and only those; an archive can write nowhere else."""

import hashlib
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import IO

BLOCK = 1 << 20


@dataclass(frozen=True)
class Unpacked:
    """A file that was written: its path below the target folder, with its size and sum."""

    path: str
    sha256: str
    num_bytes: int


def unpack(archive: Path, inside: str, patterns: Sequence[str], target: Path, max_bytes: int) -> list[Unpacked]:
    """Write the files below the folder `inside` of the archive that match one of the patterns to `target`, by their path below `inside`.

    A pattern has as many parts as the path, * stands for a part of one name. Raises ValueError for a pattern that matches nothing, a
    matching member that is no plain file or whose path is not plain (absolute, `..`, a drive, a backslash), two members with one path,
    more than `max_bytes` in all, and for a file that is no archive.
    """
    written: dict[str, Unpacked] = {}
    matched: set[str] = set()
    left = max_bytes
    with _members(archive) as members:
        for name, is_file, size, stream in members:
            relative = _below(name, inside)
            fitting = [pattern for pattern in patterns if relative is not None and _matches(relative, pattern)]
            if not fitting:
                continue
            matched.update(fitting)
            if relative is None or not _is_plain(name) or "\\" in name or ":" in name:
                raise ValueError(f"{archive}: refusing to unpack {name!r}: its path may leave the folder")
            if not is_file:
                raise ValueError(f"{archive}: refusing to unpack {name!r}: it is a link or a device, not a file")
            if relative.lower() in {path.lower() for path in written}:
                raise ValueError(f"{archive}: {name!r} would be written twice")
            left -= size
            if left < 0:
                raise ValueError(f"{archive}: unpacked files exceed {max_bytes} bytes at {name!r}: raise max_megabytes if that is right")
            written[relative] = _write(stream(), target, relative, size, archive)
    missing = [pattern for pattern in patterns if pattern not in matched]
    if missing:
        raise ValueError(f"{archive}: nothing in {inside or 'it'} matches {missing}")
    return [written[path] for path in sorted(written)]


def _below(name: str, inside: str) -> str | None:
    prefix = f"{inside.rstrip('/')}/" if inside else ""
    return name[len(prefix) :] if name.startswith(prefix) and len(name) > len(prefix) else None


def _matches(path: str, pattern: str) -> bool:
    # A path that climbs (`a/../b`) must reach the check that refuses it, not slip by as unmatched: compare it as written.
    parts, wanted = path.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))


def _is_plain(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and all(part not in ("", ".", "..") for part in name.split("/"))


def _write(stream: IO[bytes], target: Path, relative: str, size: int, archive: Path) -> Unpacked:
    path = target / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    digest, count = hashlib.sha256(), 0
    with stream, path.open("xb") as out:
        while block := stream.read(BLOCK):
            count += len(block)
            if count > size:
                raise ValueError(f"{archive}: {relative!r} is larger than the archive says ({size} bytes)")
            digest.update(block)
            out.write(block)
    if count != size:
        raise ValueError(f"{archive}: {relative!r} holds {count} bytes, the archive says {size}")
    return Unpacked(relative, digest.hexdigest(), count)


@contextmanager
def _members(archive: Path) -> Iterator[Iterator[tuple]]:
    """(name, is a plain file, size, function that opens it) of every member but folders."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            # The upper half of external_attr is the Unix mode; 0 where the archive was made elsewhere, which then has no links.
            yield (
                (info.filename, (info.external_attr >> 28) in (0, 0o10), info.file_size, lambda info=info: zipped.open(info))
                for info in zipped.infolist()
                if not info.is_dir()
            )
    elif tarfile.is_tarfile(archive):
        with tarfile.open(archive) as tarred:
            yield ((info.name, info.isreg(), info.size, lambda info=info: tarred.extractfile(info)) for info in tarred if not info.isdir())
    else:
        raise ValueError(f"{archive} is neither a zip nor a tar archive")
