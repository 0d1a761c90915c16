"""The data card: licence, origin and allowed use of every file of data/raw."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from strrn.data.download import Package, Use
from strrn.data.unpack import Unpacked

ALLOWED_USE = {
    Use.train: "training and evaluation",
    Use.evaluate: "evaluation only, never trains weights that are released",
}
# A package with more files than this is listed by folder in the readable card; data_card.json has every file.
MAX_LISTED = 30


@dataclass(frozen=True)
class CardEntry:
    package: Package
    files: Sequence[Unpacked]
    licence_files: Sequence[Unpacked]


def card_rows(entries: Iterable[CardEntry]) -> list[dict]:
    """One row per file, paths below data/raw; a package's licence files come after its data."""
    rows = []
    for entry in entries:
        package = entry.package
        licences = [f"{package.folder}/licences/{file.path}" for file in entry.licence_files]
        for path, file in [
            *((f"{package.folder}/{file.path}", file) for file in entry.files),
            *zip(licences, entry.licence_files, strict=True),
        ]:
            rows.append(
                {
                    "path": path,
                    "sha256": file.sha256,
                    "bytes": file.num_bytes,
                    "package": package.name,
                    "version": package.version,
                    "archive": package.archive,
                    "archive_sha256": package.sha256,
                    "licence": package.licence,
                    "licence_files": licences,
                    "origin": package.origin,
                    "use": package.use.name,
                    "allowed_use": ALLOWED_USE[package.use],
                }
            )
    return rows


def card_markdown(entries: Sequence[CardEntry]) -> str:
    """The card for people: a table of packages, then what each one brought."""
    lines = [
        "# Data card",
        "",
        "Where the raw data comes from and what it may be used for. `data_card.json` has every file with its size and sha256.",
        "",
        "| package | files | MB | licence | use |",
        "|---|---|---|---|---|",
    ]
    for entry in entries:
        package, size = entry.package, sum(file.num_bytes for file in entry.files) / 1e6
        name = f"{package.name} {package.version}"
        lines.append(f"| {name} | {len(entry.files)} | {size:.1f} | {package.licence} | {ALLOWED_USE[package.use]} |")
    for entry in entries:
        package = entry.package
        lines += ["", f"## {package.name} {package.version}", "", package.origin, ""]
        lines += [f"- {line}" for line in _listing(package.folder, entry.files)]
        lines += [f"- licence: {package.folder}/licences/{file.path}" for file in entry.licence_files]
    return "\n".join(lines) + "\n"


def _listing(folder: str, files: Sequence[Unpacked]) -> list[str]:
    if len(files) <= MAX_LISTED:
        return [f"{folder}/{file.path}" for file in files]
    counts: dict[str, int] = {}
    for file in files:
        parent = f"{folder}/{file.path}".rpartition("/")[0]
        counts[parent] = counts.get(parent, 0) + 1
    return [f"{parent}/: {count} files" for parent, count in sorted(counts.items())]
