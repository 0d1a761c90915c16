"""The flow `annotate`: landmarks and overlays for a whole folder of videos, one `strrn track` a video, several at a time.

    python -m flows.annotate videos -o annotated          what is done already is not done again
    python -m flows.annotate videos -o annotated --workers 8 --overlay none

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
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from logging import INFO, WARNING
from pathlib import Path
from typing import Annotated, Literal

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.exceptions import ParameterTypeError
from prefect.futures import PrefectFuture
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import Field

from flows import cluster, process_group
from strrn.core.files import write_json, write_text
from strrn.core.model_files import CURE, DETECTOR_FILE, TRACKER_FILE, default_models
from strrn.core.video import VIDEO_SUFFIXES

RECORD = "summary.json"
COLUMNS = ("video", "state", "frames", "with_face", "times_lost", "detail")
# Threads of a flow that only wait for a cluster cost little; on this machine there is one for a core.
AT_A_TIME = 256 if os.environ.get(cluster.ADDRESS) else os.cpu_count()
RETRIES, RETRY_SECONDS = 1, 10  # for what may pass: a full disk, a network drive that went away
DEFAULTS = {"overlay": "mp4", "refine": False, "rotate": 0, "min_face": 0.1}  # of `strrn track`; the record of a video has what differs
DONE, DAMAGED, FAILED, NOT_DONE = "done", "damaged", "failed", "not done"
SAY_SECONDS = 60.0  # between two lines that say how many videos are done


@task(
    task_run_name="{name}",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=RETRIES,
    retry_delay_seconds=RETRY_SECONDS,
    retry_condition_fn=lambda *_: not process_group.stopping,
)
def annotate_video(video: str, name: str, out: str, models: str, models_hash: str, options: Mapping[str, object]) -> dict:
    """Track one video, unless its record says that this was done, by these models. Returns a row with COLUMNS.

    options: of `strrn track`, name -> value. States: done; damaged (the files hold the frames before the damage). Raises CommandError
    where nothing could be tracked.
    """
    log = get_run_logger()
    path, folder = Path(video), Path(out)
    about = path.stat()
    identity = {"bytes": about.st_size, "modified": about.st_mtime, "models": models_hash, **options}
    table = folder / f"{path.stem}.landmarks.csv"
    overlay = options.get("overlay", DEFAULTS["overlay"])
    outputs = [table] if overlay == "none" else [table, folder / f"{path.stem}.overlay.{overlay}"]
    record = folder / RECORD
    if (row := _done_before(record, identity)) and all(file.is_file() for file in outputs):
        log.log(WARNING if row["detail"] else INFO, "%s: %s before%s", name, row["state"], f": {row['detail']}" * bool(row["detail"]))
        return row
    command = [str(Path(sys.executable).with_name("strrn")), "track", video, "-o", out, "--models", models, "--overwrite"]
    for option, value in options.items():
        command += [f"--{option.replace('_', '-')}", *([str(value)] if value is not True else [])]
    process_group.refuse_when_stopping(command)
    folder.mkdir(parents=True, exist_ok=True)
    table.unlink(missing_ok=True)  # of another version of the video or the models
    state, detail = DONE, ""
    try:
        cluster.run(command, lambda line: log.debug("%s: %s", name, line))
    except process_group.CommandError as error:
        if not table.is_file():
            raise
        state, detail = DAMAGED, str(error).splitlines()[-1]
    row = {"video": name, "state": state, **count_states(table), "detail": detail}
    share = f"{row['frames']} frames, {row['with_face']:.0%} of them with a face"
    log.log(WARNING if detail else INFO, "%s: %s%s", name, share, f"; {detail}" * bool(detail))
    write_json(record, {"identity": identity, "row": row})
    return row


def _done_before(record: Path, identity: Mapping) -> dict | None:
    """The row that the record has of it; None where there is none, or of another version, or one that cannot be read."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        content = json.loads(record.read_text(encoding="utf-8"))
        return content["row"] if content["identity"] == identity else None
    return None


@flow(name="annotate", persist_result=False, task_runner=ThreadPoolTaskRunner(max_workers=AT_A_TIME))
def annotate(
    videos: Annotated[str, Field(min_length=1)],
    out: Annotated[str, Field(min_length=1)],
    models: Annotated[str, Field(min_length=1)] | None = None,
    faces: Annotated[int, Field(ge=1)] = 1,
    overlay: Literal["mp4", "webm", "none"] = DEFAULTS["overlay"],
    refine: bool = DEFAULTS["refine"],
    rotate: Literal[0, 90, 180, 270] = DEFAULTS["rotate"],
    min_face: Annotated[float, Field(gt=0, lt=1)] = DEFAULTS["min_face"],
) -> list[dict]:
    """Track every video of the folder `videos` and below into the folder `out`.

    models: folder with tracker.onnx and detector.onnx; None: models/export, else the package's. faces (to follow in a video, at most),
    overlay, refine, rotate, min_face: as of `strrn track`. Returns a row per video, which out/summary.csv and the table artifact
    `annotate` have as well. Raises FileNotFoundError for a folder without videos or models, ValueError for a cluster that cannot be used,
    RuntimeError at the end where videos failed or are damaged.
    """
    log = get_run_logger()
    root, target = Path(videos), Path(out)
    found, others = find_videos(root, target)
    if others:
        shown = ", ".join(str(path.relative_to(root)) for path in others[:5]) + ", …" * (len(others) > 5)
        log.warning("not tracked, since they do not end as videos do, or are links to folders: %s (%d)", shown, len(others))
    folder = Path(models) if models else default_models()
    identity = hash_models(folder)
    log.info("%d videos; models of %s", len(found), folder)
    chosen = {"overlay": overlay, "refine": refine, "rotate": rotate, "min_face": min_face}
    options = {"faces": faces} | {name: value for name, value in chosen.items() if value != DEFAULTS[name]}
    names = [str(path.relative_to(root)) for path in found]
    rows: list[dict] = []
    with cluster.opened():
        try:
            jobs = [
                annotate_video.submit(str(path), name, str(target / name), str(folder.absolute()), identity, options)
                for path, name in zip(found, names, strict=True)
            ]
            said = time.monotonic()
            for name, job in zip(names, jobs, strict=True):
                rows.append(_row(name, _result(job)))
                if time.monotonic() - said > SAY_SECONDS:
                    said = time.monotonic()
                    log.info("%d of %d videos", len(rows), len(names))
        except BaseException:  # cancelled: the videos that are being tracked have to end too, or the threads would wait for them
            cluster.end_all()
            write_summary(target / "summary.csv", [*rows, *(_empty_row(name, NOT_DONE, "cancelled") for name in names[len(rows) :])])
            raise
    write_summary(target / "summary.csv", rows)
    create_table_artifact(rows, key="annotate", description=f"{len(rows)} videos of {videos}")
    counts = Counter(row["state"] for row in rows)
    summary = ", ".join(f"{count} {state}" for state, count in counts.items())
    log.info("%d videos: %s; %s", len(rows), summary, target / "summary.csv")
    if counts[DONE] < len(rows):
        reasons = "\n".join(f"{row['video']}: {row['state']}: {row['detail']}" for row in rows if row["state"] != DONE)
        raise RuntimeError(f"{len(rows)} videos: {summary}; run again for failed ones, damaged ones have the frames before\n{reasons}")
    return rows


def _result(job: PrefectFuture) -> object:
    """Of a task, or its exception. Asked for once a second: a Ctrl-C that the system hands to another thread does not wake this one."""
    while True:
        with suppress(TimeoutError):
            return job.result(timeout=1, raise_on_failure=False)


def find_videos(root: Path, out: Path) -> tuple[list[Path], list[Path]]:
    """Videos of a folder and below, and what else is there, sorted; both without hidden files and what is in `out`. Raises FileNotFoundError
    where there is no video."""
    if not root.is_dir():
        raise FileNotFoundError(f"{root.absolute()} is no folder: give the folder that holds the videos")
    paths = sorted(path for path in root.rglob("*") if path.is_file() or path.is_symlink())
    paths = [path for path in paths if not any(part.startswith(".") for part in path.relative_to(root).parts)]
    paths = [path for path in paths if out.resolve() not in path.resolve().parents]
    found = [path for path in paths if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()]
    if not found:
        raise FileNotFoundError(f"{root.absolute()} holds no video: put files with one of the endings {', '.join(VIDEO_SUFFIXES)} in")
    known = set(found)
    return found, [path for path in paths if path not in known]


def hash_models(models: Path) -> str:
    """sha256 over both models. Raises FileNotFoundError with the cure."""
    digest = hashlib.sha256()
    for name in (TRACKER_FILE, DETECTOR_FILE):
        if not (models / name).is_file():
            raise FileNotFoundError(f"{models / name} is missing: {CURE}")
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
    said = str(result).strip()
    return _empty_row(name, FAILED, said.splitlines()[-1] if said else type(result).__name__)


def _empty_row(name: str, state: str, detail: str) -> dict:
    return {"video": name, "state": state, "frames": 0, "with_face": 0.0, "times_lost": 0, "detail": detail}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Landmarks and overlays for a folder of videos, as a Prefect flow.")
    parser.add_argument("videos", help="folder of videos, searched below as well")
    parser.add_argument("-o", "--out", required=True, help="folder for the results")
    parser.add_argument("--models", help="folder with tracker.onnx and detector.onnx (default: models/export, else the package's)")
    parser.add_argument("--faces", type=int, default=1, help="follow at most so many faces in a video (default: %(default)s)")
    parser.add_argument(
        "--overlay", choices=("mp4", "webm", "none"), default=DEFAULTS["overlay"], help="video with the landmarks (default: %(default)s)"
    )
    parser.add_argument("--refine", action="store_true", help="detect in every frame, and smooth with the BRF network")
    parser.add_argument(
        "--rotate", type=int, default=DEFAULTS["rotate"], choices=(0, 90, 180, 270), help="degrees clockwise that bring the faces upright"
    )
    parser.add_argument(
        "--min-face", type=float, default=DEFAULTS["min_face"], help="smallest face, as a share of the picture (default: %(default)s)"
    )
    parser.add_argument("--workers", type=int, default=AT_A_TIME, help="videos at a time (default: one a core)")
    options = vars(parser.parse_args(arguments))
    if (workers := options.pop("workers")) < 1:
        parser.error(f"--workers {workers}: expected 1 or more")
    try:
        annotate.with_options(task_runner=ThreadPoolTaskRunner(max_workers=workers))(**options)
    except (OSError, ValueError, RuntimeError, ParameterTypeError) as error:  # Prefect has logged where
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
