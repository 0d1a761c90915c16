import hashlib
import io
import tarfile
import zipfile

import pytest

from strrn.data.unpack import unpack

LIMIT = 1000


def make_zip(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def make_tar(path, files, links=()):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for name, target in links:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    return path


FILES = {"top/data/a.obj": b"alpha", "top/data/b.jpg": b"beta", "top/data/deep/c.obj": b"gamma", "top/code.py": b"import os"}


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_only_the_files_named_are_written(tmp_path, make):
    archive = make(tmp_path / "archive", FILES)
    written = unpack(archive, "top/data", ["*.obj", "deep/*.obj"], tmp_path / "out", LIMIT)
    assert [file.path for file in written] == ["a.obj", "deep/c.obj"]
    assert sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*")) == ["a.obj", "deep/c.obj"]
    assert (tmp_path / "out/deep/c.obj").read_bytes() == b"gamma"
    assert (written[0].sha256, written[0].num_bytes) == (hashlib.sha256(b"alpha").hexdigest(), 5)


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_a_pattern_that_matches_nothing_is_named(tmp_path, make):
    archive = make(tmp_path / "archive", FILES)
    with pytest.raises(ValueError, match=r"nothing in top/data matches \['\*\.ply'\]"):
        unpack(archive, "top/data", ["*.obj", "*.ply"], tmp_path / "out", LIMIT)


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize(
    ("name", "inside", "pattern"),
    [("data/../../evil", "data", "*/*/evil"), ("/etc/evil", "", "*/*/evil"), ("data//evil", "data", "*/evil"), ("../evil", "", "*/evil")],
)
def test_nothing_leaves_the_folder(tmp_path, make, name, inside, pattern):
    archive = make(tmp_path / "archive", {name: b"x"})
    with pytest.raises(ValueError, match="may leave the folder"):
        unpack(archive, inside, [pattern], tmp_path / "a/b/out", LIMIT)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [archive]


def test_a_backslash_is_no_way_out(tmp_path):
    archive = make_tar(tmp_path / "archive", {"data/..\\..\\evil": b"x"})
    with pytest.raises(ValueError, match="may leave the folder"):
        unpack(archive, "data", ["*"], tmp_path / "out", LIMIT)


def test_links_are_refused(tmp_path):
    archive = make_tar(tmp_path / "tar", {}, links=[("data/a.obj", "/etc/passwd")])
    with pytest.raises(ValueError, match=r"'data/a\.obj': it is a link"):
        unpack(archive, "data", ["*.obj"], tmp_path / "out", LIMIT)
    link = zipfile.ZipInfo("data/a.obj")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "zip", "w") as zipped:
        zipped.writestr(link, "/etc/passwd")
    with pytest.raises(ValueError, match=r"'data/a\.obj': it is a link"):
        unpack(tmp_path / "zip", "data", ["*.obj"], tmp_path / "out", LIMIT)


def test_links_that_nobody_asked_for_do_no_harm(tmp_path):
    archive = make_tar(tmp_path / "tar", FILES, links=[("top/data/deep2", "/")])
    assert len(unpack(archive, "top/data", ["*.obj"], tmp_path / "out", LIMIT)) == 1


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_more_than_allowed_is_refused(tmp_path, make):
    archive = make(tmp_path / "archive", {"a": b"x" * 600, "b": b"x" * 600})
    with pytest.raises(ValueError, match="exceed 1000 bytes"):
        unpack(archive, "", ["*"], tmp_path / "out", LIMIT)


def test_two_files_of_one_name_are_refused(tmp_path):
    archive = make_zip(tmp_path / "archive", {"data/A.obj": b"1", "data/a.obj": b"2"})
    with pytest.raises(ValueError, match="written twice"):
        unpack(archive, "data", ["*.obj"], tmp_path / "out", LIMIT)


def test_what_is_no_archive_is_named(tmp_path):
    (tmp_path / "archive").write_bytes(b"no archive")
    with pytest.raises(ValueError, match="neither a zip nor a tar"):
        unpack(tmp_path / "archive", "", ["*"], tmp_path / "out", LIMIT)
