"""The flow `train`: brings the pipeline of dvc.yaml up to date, one task a stage.

    python -m flows.train                    everything
    python -m flows.train export --force     these stages and what they need, even if nothing changed

DVC decides what has to run; Prefect's own cache is off. docs/prefect.md shows the deployment.
"""

import argparse
import base64
import json
import os
import time
from pathlib import Path
from typing import Annotated

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_image_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from pydantic import Field

from flows import graph, process_group
from flows.checkout import alone
from flows.state import METRICS
from strrn.core.summary import flatten

METRICS_FILE = Path(METRICS)
PICTURES = Path("reports/plots")  # of the stage `report`
# Only this stage uses the network, so only this one is worth another try.
NETWORK_STAGE = "download"


@task(task_run_name="{stage}", cache_policy=NO_CACHE, persist_result=False)
def repro(stage: str, force: bool = False) -> dict:
    """`dvc repro --single-item` of one stage, whose lines go to Prefect's log.

    Returns the stage, its state (ran | unchanged) and seconds. Raises CommandError with the stage's last lines.
    """
    log = get_run_logger()
    started = time.monotonic()
    command = [*graph.DVC, "--wait-for-lock", "repro", "--single-item", *(["--force"] if force else []), stage]
    lines = process_group.run(command, log.info, stage_environment())
    state = "unchanged" if any(line.startswith(f"Stage '{stage}' didn't change") for line in lines) else "ran"
    return {"stage": stage, "state": state, "seconds": round(time.monotonic() - started, 1)}


def stage_environment() -> dict[str, str]:
    """This process's environment with its own Python first in PATH (stages are `python -m …`), and lines written at once."""
    binaries = os.path.dirname(graph.DVC[0])
    return os.environ | {"PATH": os.pathsep.join([binaries, os.environ.get("PATH", os.defpath)]), "PYTHONUNBUFFERED": "1"}


@flow(name="train", persist_result=False)
@alone
def train(targets: Annotated[list[str], Field(min_length=1)] | None = None, force: bool = False) -> list[dict]:
    """Run the stages of dvc.yaml one after another; the first that fails ends the flow.

    targets: stages to bring up to date, with all that they need; all stages when not given.
    force: run them even if nothing changed.
    Returns one row a stage. At the end, reports/metrics.json becomes a table artifact named `metrics`, and every curve in reports/plots an
    image artifact of its name (`error-over-time`).
    """
    rows = []
    for stage in graph.stages(targets):
        retries = 2 if stage == NETWORK_STAGE else 0
        rows.append(repro.with_options(retries=retries, retry_delay_seconds=30)(stage, force))
    create_table_artifact(rows, key="stages", description="What ran, and how long it took.")
    if METRICS_FILE.is_file():
        metrics = flatten(json.loads(METRICS_FILE.read_text(encoding="utf-8")))
        create_table_artifact(
            [{"metric": key, "value": value} for key, value in metrics.items()], key="metrics", description=str(METRICS_FILE)
        )
    for picture in sorted(PICTURES.glob("*.svg")):
        # Inside the artifact itself: Prefect's page has no way to this machine's files.
        address = "data:image/svg+xml;base64," + base64.b64encode(picture.read_bytes()).decode()
        create_image_artifact(address, key=picture.stem.replace("_", "-"), description=str(picture))
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Bring the pipeline of dvc.yaml up to date, as a Prefect flow.")
    parser.add_argument("targets", nargs="*", help="stages; all when none is given")
    parser.add_argument("--force", action="store_true", help="run them even if nothing changed")
    arguments = parser.parse_args()
    train(arguments.targets or None, arguments.force)
