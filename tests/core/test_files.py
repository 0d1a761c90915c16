import pytest

from strrn.core import files


def test_a_file_appears_whole_or_not_at_all(tmp_path) -> None:
    path = tmp_path / "new folder/table.parquet"
    with files.atomic(path) as temporary:
        temporary.write_text("content")
        assert temporary.parent == path.parent and temporary.suffix == ".parquet"
        assert not path.exists()
    assert path.read_text() == "content"
    assert list(path.parent.iterdir()) == [path]


def test_failure_leaves_the_old_file_and_nothing_else(tmp_path) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), files.atomic(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_json_and_back(tmp_path) -> None:
    content = {"name": "Größe", "values": [1, 2.5, None], "nested": {"a": True}}
    files.write_json(tmp_path / "a.json", content)
    assert files.read_json(tmp_path / "a.json") == content
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert text.endswith("}\n") and "Größe" in text


@pytest.mark.parametrize("write", [files.write_json, lambda path, content: files.write_json_lines(path, [content])])
def test_nan_is_refused(tmp_path, write) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write(tmp_path / "a.json", {"error": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_json_lines_and_back(tmp_path) -> None:
    rows = [{"a": 1}, {"a": "two\nlines"}]
    files.write_json_lines(tmp_path / "a.jsonl", rows)
    assert (tmp_path / "a.jsonl").read_text().count("\n") == 2
    assert files.read_json_lines(tmp_path / "a.jsonl") == rows
    files.write_json_lines(tmp_path / "a.jsonl", [])
    assert files.read_json_lines(tmp_path / "a.jsonl") == []


def test_broken_json_is_named_with_its_place(tmp_path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n{"a": \n')
    with pytest.raises(ValueError, match=r"a\.jsonl, line 2 is not JSON"):
        files.read_json_lines(path)
    with pytest.raises(ValueError, match=r"a\.jsonl is not JSON"):
        files.read_json(path)


def test_files_in_another_encoding_are_named(tmp_path) -> None:
    for name, read in (("a.json", files.read_json), ("a.yaml", files.read_yaml)):
        (tmp_path / name).write_text('{"name": "ä"}', encoding="utf-16")
        with pytest.raises(ValueError, match=f"{name} is not text in UTF-8"):
            read(tmp_path / name)
        (tmp_path / name).write_text('{"name": "ä"}', encoding="utf-8-sig")
        assert read(tmp_path / name) == {"name": "ä"}


def test_files_below_a_folder(tmp_path) -> None:
    names = ["b.mp4", "a/c.mp4", "a/._c.mp4", ".git/d.mp4", "out/e.mp4", "a.txt"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = files.files_below(tmp_path, tmp_path / "out")
    assert [str(path.relative_to(tmp_path)) for path in found] == ["a/c.mp4", "a.txt", "b.mp4"]
    assert tmp_path / "out/e.mp4" in files.files_below(tmp_path) and files.files_below(tmp_path / "out", tmp_path) != []
    assert files.files_below(tmp_path / ".git") == [tmp_path / ".git/d.mp4"]
