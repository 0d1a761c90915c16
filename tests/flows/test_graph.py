import pytest

from flows import graph

# Printed by `dvc dag --dot` of DVC 3.67.1 for stages written in the order mine (foreach r1, r2), crop, download, note.
DOT = """strict digraph {
"mine@r1";
"mine@r2";
"crop";
"download";
"note";
"crop" -> "mine@r1";
"crop" -> "mine@r2";
"mine@r1" -> "mine@r2";
"download" -> "crop";
}
"""
NEEDS = {"mine@r1": ["crop"], "mine@r2": ["crop", "mine@r1"], "crop": ["download"], "download": [], "note": []}


def test_dot_of_dvc_is_read() -> None:
    assert graph.parse_dot(DOT) == NEEDS


def test_data_of_dvc_add_are_no_stage() -> None:
    text = DOT.replace('"note";\n', '"note";\n"data/videos/a.dvc";\n"data/videos/b.dvc";\n"data/videos/a.dvc" -> "crop";\n')
    assert text != DOT and graph.parse_dot(text) == NEEDS


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        (None, ["download", "crop", "mine@r1", "mine@r2", "note"]),
        (["crop"], ["download", "crop"]),
        (["note", "download"], ["note", "download"]),
        (["mine@r1"], ["download", "crop", "mine@r1"]),
        (["mine"], ["download", "crop", "mine@r1", "mine@r2"]),
    ],
)
def test_needs_come_first(targets: list[str] | None, expected: list[str]) -> None:
    assert graph.order(NEEDS, targets) == expected


def test_unknown_target_is_named_with_those_that_exist() -> None:
    with pytest.raises(ValueError, match="no stage 'min'; it has mine@r1, mine@r2, crop, download, note"):
        graph.order(NEEDS, ["min"])


def test_missing_dvc_yaml_is_named(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"dvc\.yaml not found: run the flow from the repository's root"):
        graph.stages()
