"""The flow `annotate`: landmarks and overlays for a whole folder of videos, one `strrn track` a video, several at a time.

    python -m flows.annotate videos -o annotated          what is done already is not done again
    python -m flows.annotate videos -o annotated --workers 8 --models models/export

A video `videos/a/b.mp4` gives the folder `annotated/a/b.mp4/` with the overlay, the table of landmarks and summary.json;
`annotated/summary.csv` has a row per video. A video that fails does not stop the others; the flow fails at the end and says which they were.
"""

import argparse
import csv
import hashlib
import io
import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import Field

from flows import cluster, process_group
from strrn.core.files import write_json, write_text
from strrn.core.video import VIDEO_SUFFIXES

MODELS = "models/export"
MODEL_FILES = ("tracker.onnx", "detector.onnx")
RECORD = "summary.json"
COLUMNS = ("video", "state", "frames", "with_face", "times_lost", "detail")
# Threads of a flow that only wait for a cluster cost little; on this machine there is one for a core.
AT_A_TIME = 256 if os.environ.get(cluster.ADDRESS) else os.cpu_count()
RETRIES, RETRY_SECONDS = 1, 10  # for what may pass: a full disk, a network drive that went away
DAMAGED = "damaged"


@task(
    task_run_name="{name}",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=RETRIES,
    retry_delay_seconds=RETRY_SECONDS,
    retry_condition_fn=lambda *_: not process_group.stopping,
)
def annotate_video(video: str, name: str, out: str, models: str, models_hash: str, faces: int) -> dict:
    """Track one video, unless its record says that this was done, by these models. Returns a row with COLUMNS.

    States: done; damaged (the files hold the frames before the damage). Raises CommandError where nothing could be tracked.
    """
    path, folder = Path(video), Path(out)
    about = path.stat()
    identity = {"bytes": about.st_size, "modified": about.st_mtime, "models": models_hash, "faces": faces}
    record = folder / RECORD
    if record.is_file() and (known := json.loads(record.read_text(encoding="utf-8"))).get("identity") == identity:
        get_run_logger().info("%s: done before", name)
        return known["row"]
    folder.mkdir(parents=True, exist_ok=True)
    table = folder / f"{path.stem}.landmarks.csv"
    table.unlink(missing_ok=True)  # of another version of the video or the models
    command = [
        str(Path(sys.executable).with_name("strrn")),
        "track",
        video,
        "-o",
        out,
        "--models",
        models,
        "--faces",
        str(faces),
        "--overwrite",
    ]
    state, detail = "done", ""
    try:
        cluster.run(command, get_run_logger().info)
    except process_group.CommandError as error:
        if not table.is_file():
            raise
        state, detail = DAMAGED, str(error).splitlines()[-1]
    row = {"video": name, "state": state, **count_states(table), "detail": detail}
    write_json(record, {"identity": identity, "row": row})
    return row


@flow(name="annotate", persist_result=False, task_runner=ThreadPoolTaskRunner(max_workers=AT_A_TIME))
def annotate(
    videos: Annotated[str, Field(min_length=1)],
    out: Annotated[str, Field(min_length=1)],
    models: Annotated[str, Field(min_length=1)] = MODELS,
    faces: Annotated[int, Field(ge=1)] = 1,
) -> list[dict]:
    """Track every video of the folder `videos` and below into the folder `out`.

    models: folder with tracker.onnx and detector.onnx. faces: to follow in a video, at most. Returns a row per video, which
    out/summary.csv and the table artifact `annotate` have as well. Raises FileNotFoundError for a folder without videos or models,
    RuntimeError at the end where videos failed.
    """
    root, target = Path(videos), Path(out)
    found = find_videos(root, target)
    identity = hash_models(Path(models))
    process_group.begin()
    try:
        names = [str(path.relative_to(root)) for path in found]
        jobs = [
            annotate_video.submit(str(path), name, str(target / name), models, identity, faces)
            for path, name in zip(found, names, strict=True)
        ]
        rows = [_row(name, _result(job)) for name, job in zip(names, jobs, strict=True)]
    except BaseException:  # cancelled: the videos that are being tracked have to end too, or the threads would wait for them
        cluster.end_all()
        raise
    write_summary(target / "summary.csv", rows)
    create_table_artifact(rows, key="annotate", description=f"{len(rows)} videos of {videos}")
    failed = [row for row in rows if row["state"] == "failed"]
    if failed:
        reasons = "\n".join(f"{row['video']}: {row['detail']}" for row in failed)
        raise RuntimeError(f"{len(failed)} of {len(rows)} videos failed, the others are done. Run again for these alone:\n{reasons}")
    return rows


def _result(job: PrefectFuture) -> object:
    """Of a task, or its exception. Asked for once a second: a Ctrl-C that the system hands to another thread does not wake this one."""
    while True:
        with suppress(TimeoutError):
            return job.result(timeout=1, raise_on_failure=False)


def find_videos(root: Path, out: Path) -> list[Path]:
    """Videos of a folder and below, but not in `out`, sorted. Raises FileNotFoundError where there is none."""
    if not root.is_dir():
        raise FileNotFoundError(f"{root} is no folder: give the folder that holds the videos")
    found = sorted(path for path in root.rglob("*") if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file())
    found = [path for path in found if out.resolve() not in path.resolve().parents]
    if not found:
        raise FileNotFoundError(f"{root} holds no video: put files with one of the endings {', '.join(VIDEO_SUFFIXES)} in")
    return found


def hash_models(models: Path) -> str:
    """sha256 over both models. Raises FileNotFoundError with the cure."""
    digest = hashlib.sha256()
    for name in MODEL_FILES:
        if not (models / name).is_file():
            raise FileNotFoundError(f"{models / name} is missing: run `dvc repro export`, or give another folder of models")
        digest.update((models / name).read_bytes())
    return digest.hexdigest()


def count_states(table: Path) -> dict[str, object]:
    """frames, share of them with a face, and how often a face was lost, of a table of `strrn track`."""
    frames, with_face, times_lost = set(), set(), 0
    with table.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            frames.add(row["frame"])
            if row["state"] in ("tracking", "uncertain"):
                with_face.add(row["frame"])
            times_lost += row["state"] == "lost" and row["face_id"] != ""  # said once, when it is lost; then there is no face
    share = round(len(with_face) / len(frames), 4) if frames else 0.0
    return {"frames": len(frames), "with_face": share, "times_lost": times_lost}


def write_summary(path: Path, rows: list[dict]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *([row[column] for column in COLUMNS] for row in rows)])
    write_text(path, text.getvalue())


def _row(name: str, result: object) -> dict:
    """The row of a task's result, or of the exception that it ended with."""
    if isinstance(result, dict):
        return result
    reason = str(result).strip().splitlines()[-1] if str(result).strip() else type(result).__name__
    return {"video": name, "state": "failed", "frames": 0, "with_face": 0.0, "times_lost": 0, "detail": reason}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Landmarks and overlays for a folder of videos, as a Prefect flow.")
    parser.add_argument("videos", help="folder of videos, searched below as well")
    parser.add_argument("-o", "--out", required=True, help="folder for the results")
    parser.add_argument("--models", default=MODELS, help="folder with tracker.onnx and detector.onnx (default: %(default)s)")
    parser.add_argument("--faces", type=int, default=1, help="follow at most so many faces in a video (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=AT_A_TIME, help="videos at a time (default: one a core)")
    arguments = parser.parse_args()
    runner = ThreadPoolTaskRunner(max_workers=arguments.workers)
    annotate.with_options(task_runner=runner)(arguments.videos, arguments.out, arguments.models, arguments.faces)
