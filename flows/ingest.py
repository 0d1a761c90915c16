"""The flow `ingest`: new videos become training data, and a new round learns from them.

    python -m flows.ingest /data/incoming                      a folder of videos, searched below as well
    python -m flows.ingest urls.txt --name june --no-train     a list with a URL or path a line

`strrn.stages.ingest` checks the videos and copies the good ones to data/videos/NAME, `dvc add` keeps them, params.yaml gets the folder and
a round, and the flow `train` does the rest. A run that was stopped is taken up where it was by the same command.
"""

import argparse
import re
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Annotated

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from pydantic import Field

from flows import graph, process_group, rounds
from flows.checkout import alone
from flows.train import stage_environment, train
from strrn.core.files import read_json

VIDEOS = Path("data/videos")
NAME = r"^[A-Za-z0-9_][A-Za-z0-9_-]*$"
MAX_MEGABYTES = 2000
COLUMNS = ("video", "state", "frames", "seconds", "reason")


@task(task_run_name="check {folder}", cache_policy=NO_CACHE, persist_result=False)
def take_in(source: str, folder: str, max_megabytes: int) -> list[dict]:
    """`strrn.stages.ingest`, whose lines go to the flow's log. Returns a row per video, none where nothing is new.
    Raises CommandError, with the reason."""
    record = record_path(Path(folder))
    command = [sys.executable, "-m", "strrn.stages.ingest", source, "--name", Path(folder).name, "--record", str(record)]
    process_group.run([*command, "--max-megabytes", str(max_megabytes)], get_run_logger().info, stage_environment())
    return read_json(record)["videos"] if Path(folder).is_dir() else []


@task(task_run_name="dvc add {folder}", cache_policy=NO_CACHE, persist_result=False)
def keep(folder: str) -> None:
    """`dvc add`. Raises CommandError with DVC's last lines."""
    process_group.run([*graph.DVC, "--wait-for-lock", "add", folder], get_run_logger().info, stage_environment())


@flow(name="ingest", persist_result=False)
@alone
def ingest(
    source: Annotated[str, Field(min_length=1)],
    name: Annotated[str, Field(pattern=NAME)] | None = None,
    threshold: Annotated[float, Field(gt=0)] | None = None,
    start_training: bool = True,
    max_megabytes: Annotated[int, Field(ge=1)] = MAX_MEGABYTES,
) -> list[dict]:
    """Take the videos of a source in, add a round to params.yaml and run the stages.

    source: folder of videos, or a text file with a URL (http, https, file) or path a line. name: of the folder below data/videos; by
    default the source's, with a number where it is taken. threshold: of the new round; by default the last round's.
    start_training: run the flow `train` at the end. max_megabytes: of one file.
    Returns a row with COLUMNS per video, as the table artifact `ingest`; none, and nothing is changed, where nothing is new. Raises
    FileExistsError for a name that is taken, CommandError where no video can be used; nothing is changed then either.
    """
    log = get_run_logger()
    folder, record = choose_folder(source, name, rounds.video_folders())
    if record is None:
        videos = take_in(source, str(folder), max_megabytes)
        if not videos:
            return []  # nothing new
    else:
        log.info("%s is complete since a run that was stopped: going on with it", folder)
        videos = record["videos"]
    rows = [{column: video[column] for column in COLUMNS} for video in videos]
    added = sum(row["state"] == "added" for row in rows)
    create_table_artifact(rows, key="ingest", description=f"{source}: {added} of {len(rows)} videos added to {folder}")
    keep(str(folder))
    new_round = rounds.add_round(str(folder), threshold)
    log.info("%d of %d videos are in %s; params.yaml has the round %s", added, len(rows), folder, new_round)
    log.info("when you are content: git add %s.dvc params.yaml dvc.lock reports", folder)
    if start_training:
        train()
    else:
        log.info("`python -m flows.train` trains it")
    return rows


def choose_folder(source: str, name: str | None, used: list[str]) -> tuple[Path, dict | None]:
    """The folder for the videos, and its record where a run was stopped after filling it. used: `crop.folders` of params.yaml.

    Raises FileExistsError for a name that is taken.
    """
    trained = {Path(folder).resolve() for folder in used}
    names = [name] if name else numbered(default_name(source))
    for candidate in names:
        folder = VIDEOS / candidate
        if folder.is_dir() and folder.resolve() not in trained and record_path(folder).is_file():
            record = read_json(record_path(folder))
            if record["source"] == str(Path(source).resolve()):
                return folder, record
        # Clips are named after the folder, so that two of one name cannot train together.
        if not folder.exists() and not Path(f"{folder}.dvc").exists() and candidate not in {path.name for path in trained}:
            return folder, None
    where = "is in params.yaml, crop.folders" if name in {path.name for path in trained} else "is there already"
    raise FileExistsError(f"the folder {VIDEOS / name} {where}, and nothing of it is replaced: give another name by --name")


def default_name(source: str) -> str:
    """The source's name in plain letters: /data/June 3 -> June-3, urls.txt -> urls."""
    path = Path(source).resolve()
    return re.sub(r"[^A-Za-z0-9_]+", "-", path.name if path.is_dir() else path.stem).strip("-") or "videos"


def numbered(name: str) -> Iterator[str]:
    """name, name-2, name-3, …"""
    return (name if number == 1 else f"{name}-{number}" for number in count(1))


def record_path(folder: Path) -> Path:
    """Where `strrn.stages.ingest` writes down the source and a row per video."""
    return folder.with_name(f"{folder.name}.json")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Check new videos, keep them in DVC, and train a new round with them, as a Prefect flow.")
    parser.add_argument("source", help="folder of videos, or a text file with a URL or path a line")
    parser.add_argument("--name", help="of the folder below data/videos (default: the source's)")
    parser.add_argument("--threshold", type=float, help="of the new round (default: the last round's)")
    parser.add_argument("--max-megabytes", type=int, default=MAX_MEGABYTES, help="of one file (default: %(default)s)")
    parser.add_argument("--no-train", action="store_true", help="run no stage")
    arguments = parser.parse_args()
    ingest(arguments.source, arguments.name, arguments.threshold, not arguments.no_train, arguments.max_megabytes)
