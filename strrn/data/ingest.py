"""New videos from a folder or a list of URLs: fetched, decoded completely, and put into a folder that appears when it is complete.

Until then they lie in a hidden folder beside it. A killed run leaves that folder, and the next one does not repeat its downloads.
"""

import hashlib
import logging
import mimetypes
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.client import HTTPException
from itertools import count
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit
from urllib.request import Request, urlopen

from strrn.core.cluster import map_clips
from strrn.core.files import atomic_folder, files_below, write_json
from strrn.core.processes import num_workers
from strrn.core.progress import progress
from strrn.core.video import VIDEO_SUFFIXES, VideoError, read_frames
from strrn.data.download import file_sha256

log = logging.getLogger(__name__)
SCHEMES = ("http", "https", "file")
TIMEOUT_SECONDS = 60  # without a byte
CHUNK = 1 << 20
LONGEST_STEM = 80
DUPLICATE = "duplicate"
NAMED_REASONS = 10  # in the message where no video is usable; the log has all


class RejectedError(ValueError):
    """A video that is not taken; the message is the reason."""


def ingest(source: Path, out: Path, record: Path, known: Mapping[str, str], *, min_frames: int, max_bytes: int, workers: int) -> list[dict]:
    """Put the usable videos of the source into the folder `out`, and a record of all of them into the JSON file `record`.

    source: a folder, searched below as well, or a text file with a URL or path a line, see `origins`. known: sha256 -> what it is, of
    the videos that must not come again, see `known_videos`. min_frames: of a usable video. max_bytes: of one file. workers: processes
    that decode, 0 = one a core.

    Where some are known and no other is usable, nothing is written. Returns the record's rows: video (as the source names it), state
    (added | rejected), file (its name in `out`), sha256, frames, seconds and reason. Raises FileExistsError where `out` is there; ValueError
    where no video is usable, and then leaves nothing behind.
    """
    _refuse_existing(out)
    named = origins(source)
    staging = out.parent / f".{out.name}.part"
    staging.mkdir(parents=True, exist_ok=True)
    rows, paths = _fetch_all(named, staging, known, max_bytes)
    arrived = [row for row in rows if not row["reason"]]
    results = progress(map_clips(partial(check, min_frames=min_frames), paths, num_workers(workers)), "check videos", len(paths))
    for row, path, (frames, seconds, reason) in zip(arrived, paths, results, strict=True):
        row |= {"frames": frames, "seconds": seconds, "reason": reason.replace(str(path), row["video"])}
    for row in rows:
        row["state"] = "rejected" if row["reason"] else "added"
        if row["reason"]:
            log.info("rejected %s: %s", row["video"], row["reason"])
    if all(row["reason"] for row in rows):
        shutil.rmtree(staging)
        if known_already := sum(row["reason"].startswith(DUPLICATE) for row in rows):
            log.info(
                "%s: nothing new, %d of its %d videos are there already; `dvc repro` trains with them", source, known_already, len(rows)
            )
            return rows
        raise ValueError(_nothing_usable(source, rows))
    with atomic_folder(out) as folder:
        for row, path in zip(arrived, paths, strict=True):
            if not row["reason"]:
                row["file"] = _file_name(row["url"], path.suffix, [other["file"] for other in rows])
                path.rename(folder / row["file"])
        for row in rows:
            del row["url"]
        shutil.rmtree(staging)
        _refuse_existing(out)  # of another run meanwhile
        write_json(record, {"source": str(source.resolve()), "videos": rows})
    states = Counter(row["state"] for row in rows)
    log.info("%s: %d videos added, %d rejected; %s has the reasons", out, states["added"], states["rejected"], record)
    return rows


def origins(source: Path) -> list[tuple[str, str]]:
    """(name, URL) of the source's videos: of a folder all files with a video's ending, sorted; of a list its lines, in their order.

    In a list, empty lines and lines that begin with # say nothing, and paths start from the list's folder. Raises FileNotFoundError for a
    source that is not there or holds no video, ValueError for a file that is no list.
    """
    if source.is_dir():
        files = files_below(source)
        found = [(str(path.relative_to(source)), path.absolute().as_uri()) for path in files if path.suffix.lower() in VIDEO_SUFFIXES]
        if len(files) > len(found):
            log.info("%s: %d files without a video's ending are left alone", source, len(files) - len(found))
        if not found:
            raise FileNotFoundError(f"folder {source} holds no video: put files with one of the endings {', '.join(VIDEO_SUFFIXES)} in")
        return found
    if not source.is_file():
        raise FileNotFoundError(f"{source} is not there: give a folder of videos, or a text file with a URL or path a line")
    try:
        lines = [line.strip() for line in source.read_text(encoding="utf-8").splitlines()]
    except UnicodeDecodeError as error:
        raise ValueError(f"{source} is no text: give a folder of videos, or a text file with a URL or path a line") from error
    names = [line for line in lines if line and not line.startswith("#")]
    if not names:
        raise FileNotFoundError(f"list {source} names no video: write a URL or path a line")
    return [(name, name if "://" in name else (source.parent / name).absolute().as_uri()) for name in names]


def known_videos(folder: Path, clips: Iterable[Path]) -> dict[str, str]:
    """sha256 -> path of all files in the folders of `folder`, and of the clips.

    Raises FileNotFoundError for a clip that is not there, and where `dvc add` knows a folder that is not there: its videos could come twice.
    """
    clips = list(clips)
    for clip in clips:
        if not clip.is_file():
            raise FileNotFoundError(f"test clip {clip} is not there, and new videos are compared with it: run `dvc repro download`")
    for file in sorted(folder.glob("*.dvc")):
        if not file.with_suffix("").is_dir():
            raise FileNotFoundError(f"the videos of {file} are not there, and new ones are compared with them: run `dvc pull {file}`")
    ingested = [path for path in sorted(folder.glob("[!.]*/**/*")) if path.is_file()]
    return {file_sha256(path): str(path) for path in [*clips, *ingested]}


def fetch(url: str, folder: Path, max_bytes: int) -> Path:
    """The file behind the URL, in `folder`, under a name that no other URL gives. What was downloaded before is not downloaded again.

    Raises RejectedError: another scheme than SCHEMES, no answer, larger than `max_bytes`, cut short, or neither an ending nor a content
    type of a video.
    """
    scheme = url.partition("://")[0].lower()
    if scheme not in SCHEMES:
        raise RejectedError(f"its scheme is {scheme!r}, expected one of {', '.join(SCHEMES)}")
    name = hashlib.sha256(url.encode()).hexdigest()[:16]
    before = next(folder.glob(f"{name}.*"), None)
    if before and scheme != "file":
        return before
    arriving, size = folder / "arriving", 0
    with _rejected_by_network():
        response = urlopen(Request(url, headers={"User-Agent": "strrn"}), timeout=TIMEOUT_SECONDS)
    with response, arriving.open("wb") as file:
        suffix = _suffix([url, response.url], response.headers.get_content_type())
        while True:
            with _rejected_by_network():
                chunk = response.read(CHUNK)
            if not chunk:
                break
            size += len(chunk)
            if size > max_bytes:
                raise RejectedError(f"larger than {max_bytes / 1e6:g} MB: allow more by --max-megabytes")
            file.write(chunk)
    expected = response.headers["Content-Length"]
    if expected and size != int(expected):
        raise RejectedError(f"cut short: {size} of {expected} bytes came")
    return arriving.rename(folder / f"{name}{suffix}")


def check(path: Path, min_frames: int) -> tuple[int, float, str]:
    """Decode all of the video. Returns the number of frames, how long they last, and why it cannot be used ('' where it can)."""
    frames, first, last, reason = 0, 0.0, 0.0, ""
    try:
        for index, time, _ in read_frames(path):
            frames, last = index + 1, time
            first = first if index else time
    except VideoError as error:
        reason = str(error)
    if not reason and frames < min_frames:
        reason = f"too short: {frames} frames, and params.yaml, crop.min_track_frames, asks for {min_frames}"
    # The last frame lasts as long as the others do on average.
    return frames, round((last - first) * frames / max(frames - 1, 1), 3), reason


def _fetch_all(named: list[tuple[str, str]], staging: Path, known: Mapping[str, str], max_bytes: int) -> tuple[list[dict], list[Path]]:
    """A row for every video, with a reason where it is rejected, and the files of the others."""
    rows, paths, seen, urls = [], [], dict(known), set()
    for video, url in progress(named, "fetch videos"):
        row = {"video": video, "state": "", "file": None, "sha256": None, "frames": None, "seconds": None, "reason": "", "url": url}
        rows.append(row)
        try:
            if url in urls:
                raise RejectedError(f"{DUPLICATE}: listed twice")
            urls.add(url)
            path = fetch(url, staging, max_bytes)
            row["sha256"] = file_sha256(path)
            if row["sha256"] in seen:
                path.unlink()
                raise RejectedError(f"{DUPLICATE} of {seen[row['sha256']]}")
        except RejectedError as error:
            row["reason"] = str(error)
        else:
            seen[row["sha256"]] = video
            paths.append(path)
    return rows, paths


@contextmanager
def _rejected_by_network() -> Iterator[None]:
    """What can go wrong with one URL (writing to the disk is not among it) is a reason to reject that one."""
    try:
        yield
    except HTTPError as error:
        error.close()
        raise RejectedError(f"not fetched: {error}") from error
    except (OSError, HTTPException, ValueError) as error:
        raise RejectedError(f"not fetched: {getattr(error, 'reason', error)}") from error


def _suffix(urls: list[str], content_type: str) -> str:
    """The ending that says that a file is a video: of its address, or of its content type."""
    endings = [Path(urlsplit(url).path).suffix.lower() for url in urls] + mimetypes.guess_all_extensions(content_type)
    found = [ending for ending in endings if ending in VIDEO_SUFFIXES]
    if not found:
        raise RejectedError(f"no video: it ends in {endings[0] or 'nothing'!r} and is {content_type}; expected {', '.join(VIDEO_SUFFIXES)}")
    return found[0]


def _file_name(url: str, suffix: str, taken: list[str | None]) -> str:
    """A plain name after the address. Stems differ, since crops are named after them, also where A and a are one."""
    stems = {Path(name).stem.casefold() for name in taken if name}
    plain = re.sub(r"[^\w-]+", "_", Path(unquote(urlsplit(url).path)).stem).strip("_")[:LONGEST_STEM] or "video"
    numbered = (plain if number == 1 else f"{plain}-{number}" for number in count(1))
    return next(stem for stem in numbered if stem.casefold() not in stems) + suffix


def _nothing_usable(source: Path, rows: list[dict]) -> str:
    reasons = [f"{row['video']}: {row['reason']}" for row in rows[:NAMED_REASONS]]
    more = [f"and {len(rows) - NAMED_REASONS} more, see the log"] if len(rows) > NAMED_REASONS else []
    return "\n".join([f"{source}: none of its {len(rows)} videos can be added, nothing was changed:", *reasons, *more])


def _refuse_existing(out: Path) -> None:
    if out.exists():
        raise FileExistsError(f"{out} is there already, and nothing of it is replaced: give another name")
