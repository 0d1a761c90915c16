"""Real small videos, from folders and from a server on this machine."""

import json
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from strrn.core.video import VIDEO_SUFFIXES, VideoWriter
from strrn.data.ingest import check, ingest, known_videos, origins

LIMITS = {"min_frames": 12, "max_bytes": 10**6, "workers": 1}


def write_video(path, num_frames=15, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    with VideoWriter(path, 25, 20) as writer:
        for _ in range(num_frames):
            writer.write(random.integers(0, 256, (48, 64, 3), np.uint8))
    return path


def states(rows):
    return {row["video"]: (row["state"], row["reason"]) for row in rows}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Good videos a, b and c, one that is too short, and one that is cut."""
    folder = tmp_path_factory.mktemp("clips")
    for seed, name in enumerate("abc"):
        write_video(folder / f"{name}.mp4", seed=seed)
    write_video(folder / "short.mp4", num_frames=11)
    whole = write_video(folder / "cut.avi", num_frames=60).read_bytes()
    (folder / "cut.avi").write_bytes(whole[: len(whole) * 2 // 3])
    return folder


@pytest.fixture
def served(clips, monkeypatch):
    """(address, paths that were asked for) of a server of the clips, with an incomplete answer and a page."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            body, kind, missing = (clips / "b.mp4").read_bytes(), "video/mp4", 0
            match self.path:
                case "/b.mp4" | "/watch?v=1":
                    pass
                case "/incomplete.mp4":
                    missing = 5
                case "/page":
                    body, kind = b"<html>", "text/html"
                case _:
                    self.send_error(404)
                    return
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body) + missing))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments): ...

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


def test_what_is_wrong_in_a_folder_is_left_out_with_its_reason(clips, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(clips, source)
    shutil.copy(clips / "b.mp4", source / "same.mp4")
    write_video(source / "day.2/A.mp4", seed=3)
    (source / "notes.txt").write_text("no video")
    (source / "text.mov").write_text("no video")
    known = write_video(tmp_path / "videos/old/a.mp4")  # the same frames give the same file
    out = tmp_path / "videos/new"
    rows = ingest(source, out, tmp_path / "record.json", known_videos(tmp_path / "videos", []), **LIMITS)

    found = states(rows)
    assert [video for video, (state, _) in found.items() if state == "added"] == ["b.mp4", "c.mp4", "day.2/A.mp4"]
    assert found["a.mp4"] == ("rejected", f"duplicate of {known}")
    assert found["same.mp4"] == ("rejected", "duplicate of b.mp4")
    assert found["short.mp4"] == ("rejected", "too short: 11 frames, and params.yaml, crop.min_track_frames, asks for 12")
    assert found["cut.avi"][1].startswith("video cut.avi is") and "copy or download it again" in found["cut.avi"][1]
    assert "text.mov cannot be opened" in found["text.mov"][1]
    # 15 frames, 25 a second
    assert [(row["frames"], row["seconds"]) for row in rows if row["state"] == "added"] == [(15, 0.6)] * 3
    assert sorted(path.name for path in out.iterdir()) == ["A.mp4", "b.mp4", "c.mp4"]
    assert (out / "b.mp4").read_bytes() == (clips / "b.mp4").read_bytes()
    assert json.loads((tmp_path / "record.json").read_text()) == {"source": str(source), "videos": rows}
    assert sorted(path.name for path in out.parent.iterdir()) == ["new", "old"]


def test_names_differ_in_more_than_case_and_ending(clips, tmp_path):
    (tmp_path / "list.txt").write_text(f"1/x.mp4\n2/X.mp4\n{clips}/../3/.x%20y.mp4\n")
    for name, clip in {"1/x.mp4": "a", "2/X.mp4": "b"}.items():
        (tmp_path / name).parent.mkdir()
        shutil.copy(clips / f"{clip}.mp4", tmp_path / name)
    rows = ingest(tmp_path / "list.txt", tmp_path / "out", tmp_path / "record.json", {}, **LIMITS)
    assert [row["file"] for row in rows] == ["x.mp4", "X-2.mp4", None]
    assert "No such file" in rows[2]["reason"]


def test_a_list_of_addresses(clips, served, tmp_path):
    address, _ = served
    shutil.copy(clips / "a.mp4", tmp_path)
    names = [
        (clips / "c.mp4").as_uri(),
        "a.mp4",  # from the list's folder
        f"{address}/watch?v=1",
        f"{address}/b.mp4",
        f"{address}/missing.mp4",
        f"{address}/incomplete.mp4",
        f"{address}/page",
        "ftp://127.0.0.1/a.mp4",
        "http://[/a.mp4",
        "http://127.0.0.1:1/a.mp4",
        "a.mp4",
    ]
    (tmp_path / "list.txt").write_text("# mine\n\n" + "\n".join(names) + "\n")
    rows = ingest(tmp_path / "list.txt", tmp_path / "out", tmp_path / "record.json", {}, **LIMITS)
    assert [(row["video"], row["file"]) for row in rows if row["state"] == "added"] == list(
        zip(names[:3], ["c.mp4", "a.mp4", "watch.mp4"], strict=True)
    )
    reasons = [row["reason"] for row in rows[3:]]
    size = (clips / "b.mp4").stat().st_size
    assert reasons[:5] == [
        f"duplicate of {names[2]}",
        "not fetched: HTTP Error 404: Not Found",
        f"cut short: {size} of {size + 5} bytes came",
        f"no video: it ends in 'nothing' and is text/html; expected {', '.join(VIDEO_SUFFIXES)}",
        "its scheme is 'ftp', expected one of http, https, file",
    ]
    assert reasons[5].startswith("not fetched: ") and "refused" in reasons[6] and reasons[7] == "duplicate: listed twice"


def test_a_file_above_the_limit_is_not_taken(clips, tmp_path):
    write_video(tmp_path / "source/long.mp4", num_frames=400)
    shutil.copy(clips / "a.mp4", tmp_path / "source")
    limit = (clips / "a.mp4").stat().st_size
    rows = ingest(tmp_path / "source", tmp_path / "out", tmp_path / "record.json", {}, **LIMITS | {"max_bytes": limit})
    assert states(rows)["a.mp4"] == ("added", "")
    assert states(rows)["long.mp4"] == ("rejected", f"larger than {limit / 1e6:g} MB: allow more by --max-megabytes")


def test_a_stopped_run_does_not_download_again(clips, served, tmp_path, monkeypatch):
    address, asked = served
    (tmp_path / "list.txt").write_text(f"{address}/b.mp4\n")

    def stop(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("strrn.data.ingest.map_clips", stop)
        with pytest.raises(KeyboardInterrupt):
            ingest(tmp_path / "list.txt", tmp_path / "out", tmp_path / "record.json", {}, **LIMITS)
    assert not (tmp_path / "out").exists()
    assert ingest(tmp_path / "list.txt", tmp_path / "out", tmp_path / "record.json", {}, **LIMITS)[0]["state"] == "added"
    assert asked == ["/b.mp4"]


def test_without_a_usable_video_nothing_changes(clips, tmp_path):
    source, out = tmp_path / "source", tmp_path / "videos/new"
    source.mkdir()
    shutil.copy(clips / "short.mp4", source)
    with pytest.raises(ValueError, match=r"none of its 1 videos can be added, nothing was changed:\nshort\.mp4: too short: 11 frames"):
        ingest(source, out, tmp_path / "record.json", {}, **LIMITS)
    assert list(out.parent.iterdir()) == []
    out.mkdir()
    with pytest.raises(FileExistsError, match=r"videos/new is there already.*give another name"):
        ingest(source, out, tmp_path / "record.json", {}, **LIMITS)


def test_sources_that_are_none_are_named(clips, tmp_path):
    with pytest.raises(FileNotFoundError, match="is not there: give a folder of videos"):
        origins(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="holds no video: put files"):
        origins(tmp_path)
    with pytest.raises(ValueError, match=r"a\.mp4 is no text: give a folder"):
        origins(clips / "a.mp4")
    (tmp_path / "list").write_text("# nothing\n")
    with pytest.raises(FileNotFoundError, match="names no video"):
        origins(tmp_path / "list")


def test_test_clips_do_not_come_into_training(clips, tmp_path):
    (tmp_path / "list.txt").write_text(f"{clips}/a.mp4\n{clips}/b.mp4\n")
    known = known_videos(tmp_path / "videos", [clips / "b.mp4"])
    rows = ingest(tmp_path / "list.txt", tmp_path / "videos/new", tmp_path / "record.json", known, **LIMITS)
    assert [(row["file"], row["reason"]) for row in rows] == [("a.mp4", ""), (None, f"duplicate of {clips}/b.mp4")]


def test_test_clips_that_are_not_downloaded_stop_the_comparison(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"not_downloaded\.mp4 is not there.*dvc repro download"):
        known_videos(tmp_path, [tmp_path / "not_downloaded.mp4"])


def test_videos_that_are_not_checked_out_stop_the_comparison(tmp_path):
    (tmp_path / "june.dvc").write_text("outs: []\n")
    with pytest.raises(FileNotFoundError, match=r"dvc pull .*june\.dvc"):
        known_videos(tmp_path, [])


def test_a_damaged_video_is_counted_up_to_the_damage(clips):
    frames, seconds, reason = check(clips / "cut.avi", 12)
    assert 5 < frames < 60 and seconds == pytest.approx(frames / 25) and "cut.avi is" in reason


def test_nothing_new_is_no_error(clips, tmp_path, caplog):
    (tmp_path / "list.txt").write_text(f"{clips}/a.mp4\n{clips}/short.mp4\n")
    known = known_videos(tmp_path / "videos", [clips / "a.mp4"])
    with caplog.at_level("INFO"):
        rows = ingest(tmp_path / "list.txt", tmp_path / "videos/new", tmp_path / "record.json", known, **LIMITS)
    assert [row["state"] for row in rows] == ["rejected"] * 2 and "nothing new, 1 of its 2 videos are there already" in caplog.text
    assert not (tmp_path / "record.json").exists() and list((tmp_path / "videos").iterdir()) == []
