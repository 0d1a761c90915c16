import pytest

from strrn.core.files import atomic_folder


def test_the_folder_replaces_the_old_one_when_the_block_ends_well(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/old").touch()
    with atomic_folder(tmp_path / "out") as folder:
        (folder / "new").touch()
        assert (tmp_path / "out/old").exists()
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "new"]


def test_a_failed_block_leaves_the_old_folder(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(RuntimeError, match="stop"), atomic_folder(tmp_path / "out") as folder:
        (folder / "new").touch()
        raise RuntimeError("stop")
    assert [path.name for path in tmp_path.rglob("*")] == ["out"]


def test_what_a_killed_process_left_is_removed(tmp_path):
    (tmp_path / ".out.123.tmp").mkdir()
    (tmp_path / ".out.123.tmp/half").touch()
    with atomic_folder(tmp_path / "out"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_link_is_replaced_and_what_it_points_to_stays(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/precious").touch()
    (tmp_path / "out").symlink_to(tmp_path / "elsewhere")
    with atomic_folder(tmp_path / "out") as folder:
        (folder / "new").touch()
    assert not (tmp_path / "out").is_symlink() and (tmp_path / "elsewhere/precious").exists()
