"""The flow `release`: new versions of the models and pseudo-labels, if the tracker is better than that of the last release.

    python -m flows.release --dry-run        the table, and nothing else
    python -m flows.release                  the next minor version
    python -m flows.release --bump major --tolerance 0.02 --remote store

The steps: the tree is clean and the pipeline up to date; the comparison; `dvc push`; an entry in CHANGELOG.md, committed; tags of GTO
(`detector@v0.2.0`, …). The tag of the tracker comes last and completes the release: a run after a failure does what is still to be done.
"""

import argparse
import json
import re
import sys
from datetime import date
from pathlib import Path
from typing import Annotated, Literal, get_args

import yaml
from prefect import flow, get_run_logger, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from pydantic import Field

from flows import graph, process_group
from flows.checkout import alone
from flows.commands import git, output
from flows.figures import compare_trackers, markdown
from flows.state import outdated
from flows.train import METRICS_FILE

CHANGELOG = Path("CHANGELOG.md")
SECTION = "\n## Models\n"
ARTIFACTS = ("detector", "pseudo-labels", "tracker")  # the tracker last: its tag completes a release
TAG = re.compile(r"tracker@v(\d+)\.(\d+)\.(\d+)(!?)")  # with ! at the end: taken back by `gto deprecate`
Bump = Literal["major", "minor", "patch"]
BUMPS = get_args(Bump)
TOLERANCE = 0.05
TEST_DATA = ("data/raw", "data/rendered")  # outs that hold what is measured on

Version = tuple[int, int, int]


def released_versions() -> tuple[Version | None, Version | None]:
    """The newest version of the tracker that is in effect, and the newest of all, with those that were taken back."""
    tags = [match for tag in git("tag", "--list", "tracker@v*").split() if (match := TAG.fullmatch(tag))]
    numbers = {match: tuple(int(part) for part in match.groups()[:3]) for match in tags}
    taken_back = {numbers[match] for match in tags if match[4]}
    return max((number for number in numbers.values() if number not in taken_back), default=None), max(numbers.values(), default=None)


def next_version(newest: Version | None, bump: Bump) -> str:
    """v0.1.0 without a version before."""
    if newest is None:
        return "v0.1.0"
    position = BUMPS.index(bump)
    return name_of((*newest[:position], newest[position] + 1, *[0] * (2 - position)))


def name_of(version: Version) -> str:
    return "v" + ".".join(map(str, version))


def check_ready() -> None:
    """Raises RuntimeError, with the cure, for a tree with changes and for stages that would run."""
    if changes := git("status", "--porcelain").splitlines():
        listed = "\n".join(changes[:10] + (["…"] if len(changes) > 10 else []))
        raise RuntimeError(f"{len(changes)} files are not as in the last commit; commit them, or `git stash -u`:\n{listed}")
    if status := outdated(json.loads(output(*graph.DVC, "--wait-for-lock", "status", "--json"))):
        raise RuntimeError(f"the pipeline is not up to date: `dvc repro` (or `dvc pull`), then commit. `dvc status` has {', '.join(status)}")


def changed_test_data(tag: str) -> list[str]:
    """Outs with test data that differ between dvc.lock of the tag and that of the folder."""
    before, now = hashes(git("show", f"{tag}:dvc.lock")), hashes(Path("dvc.lock").read_text(encoding="utf-8"))
    return [path for path in TEST_DATA if before.get(path) != now.get(path)]


def hashes(lock: str) -> dict[str, str]:
    """Path of an out -> its md5, of the text of a dvc.lock."""
    stages = yaml.safe_load(lock).get("stages", {}).values()
    return {out["path"]: out["md5"] for stage in stages for out in stage.get("outs", [])}


@task(cache_policy=NO_CACHE, persist_result=False)
def push(remote: str | None) -> str:
    """`dvc push`, and a look whether everything is there. Returns what was done, in words.

    Where no remote is configured, nothing is pushed, and it says so. Raises ValueError for a remote that there is not, or if none of
    several is the default; CommandError with DVC's last lines; RuntimeError where data are still missing.
    """
    settings = output(*graph.DVC, "config", "--list").splitlines()
    remotes = [match[1] for line in settings if (match := re.match(r"remote\.(.+?)\.url=", line))]
    if remote is not None and remote not in remotes:
        raise ValueError(f"there is no DVC remote {remote!r}; `dvc config --list` has {', '.join(remotes) or 'none'}: docs/remotes.md")
    if not remotes:
        return "not pushed: no DVC remote is configured, the data are in this machine's cache only (docs/remotes.md)"
    if remote is None and not any(line.startswith("core.remote=") for line in settings):
        raise ValueError(f"none of the remotes {', '.join(remotes)} is the default: `dvc remote default {remotes[0]}`, or name one")
    chosen = ["--remote", remote] if remote else []
    process_group.run([*graph.DVC, "--wait-for-lock", "push", *chosen], get_run_logger().info)
    # DVC's push succeeds also where the cache lacks a file.
    status = json.loads(output(*graph.DVC, "--wait-for-lock", "data", "status", "--granular", "--not-in-remote", *chosen, "--json"))
    if absent := status.get("not_in_remote"):
        raise RuntimeError(f"{len(absent)} files are not in the remote after `dvc push`, the first is {absent[0]}: is it in DVC's cache?")
    return f"pushed to the DVC remote {remote or 'that is the default'}"


@task(cache_policy=NO_CACHE, persist_result=False)
def write_changelog(version: str, body: str) -> bool:
    """Put the entry into the section of CHANGELOG.md and commit it; False if it is there already.

    An entry of this version with another body, of a run that failed, is replaced. The file is as before where the commit fails.
    Raises FileNotFoundError or ValueError for a file or section that is missing.
    """
    if not CHANGELOG.is_file():
        raise FileNotFoundError(f"{CHANGELOG.absolute()} not found: make it, with a line `{SECTION.strip()}`")
    before = CHANGELOG.read_text(encoding="utf-8")
    if SECTION not in before:
        raise ValueError(f"{CHANGELOG} has no line `{SECTION.strip()}`: add it, entries of models go below")
    head, found, entries = before.partition(SECTION)
    known = re.search(rf"^### {re.escape(version)} .*?(?=^##|\Z)", entries, re.MULTILINE | re.DOTALL)
    if known and known[0].partition("\n")[2].strip() == body.strip():
        return False
    entries = entries.replace(known[0], "") if known else entries
    introduction, mark, others = entries.partition("\n### ")
    entry = f"### {version} - {date.today().isoformat()}\n\n{body.strip()}\n"
    CHANGELOG.write_text(f"{head}{found}{introduction.rstrip()}\n\n{entry}{mark}{others}", encoding="utf-8")
    try:
        git("commit", "--quiet", "-m", f"Models {version}", "--", str(CHANGELOG))
    except RuntimeError:
        CHANGELOG.write_text(before, encoding="utf-8")
        raise
    return True


@task(cache_policy=NO_CACHE, persist_result=False, task_run_name="register {artifact}")
def register(artifact: str, version: str) -> str:
    """Tag the last commit as a version of the artifact, if it is not yet. Returns the tag. Raises RuntimeError with GTO's message."""
    tag = f"{artifact}@{version}"
    if not git("tag", "--list", tag).strip():
        output(str(Path(sys.executable).with_name("gto")), "register", artifact, "HEAD", "--version", version)
    elif git("rev-parse", f"{tag}^{{commit}}") != git("rev-parse", "HEAD"):
        raise RuntimeError(f"{tag} is there already, at another commit: `git tag -d {tag}` if that release was never completed")
    return tag


@flow(name="release", persist_result=False)
@alone
def release(
    tolerance: Annotated[float, Field(ge=0)] = TOLERANCE,
    bump: Bump = "minor",
    remote: Annotated[str, Field(min_length=1)] | None = None,
    dry_run: bool = False,
) -> list[str]:
    """Compare with the last release, and release what is better (the rule: `figures.compare_trackers`).

    tolerance: by how much a single figure may be worse, 0.05 for 5 %. bump: the part of the version that counts up. remote: of DVC; the
    default one if not given.
    dry_run: the table only. Returns the tags. Raises RuntimeError where the tree, the pipeline or the figures stand against it.
    """
    log = get_run_logger()
    current, newest = released_versions()
    version, tag = next_version(newest, bump), f"tracker@{name_of(current)}" if current else None
    if not dry_run:
        check_ready()
        if tag and git("rev-parse", f"{tag}^{{commit}}") == git("rev-parse", "HEAD"):
            log.info("The last commit is %s: there is nothing to release", tag)
            return [tag]
    if not METRICS_FILE.is_file():
        raise FileNotFoundError(f"{METRICS_FILE.absolute()} not found: run `dvc repro`")
    released = json.loads(git("show", f"{tag}:{METRICS_FILE}")) if tag else None
    comparison = compare_trackers(json.loads(METRICS_FILE.read_text(encoding="utf-8")), released, tolerance)
    against = f"compared with {tag}, mean ratio {comparison.ratio or 0:.4f}" if tag else "the first release, nothing to compare with"
    if tag and (changed := changed_test_data(tag)):
        against += f"; other test data than then ({', '.join(changed)}), so the figures say less"
    rows = markdown(comparison.rows)
    create_table_artifact(comparison.rows, key="release", description=f"{version}: {against}")
    log.info("%s: %s\n%s", version, against, rows)
    if comparison.reasons:
        message = f"{version} is no better than {tag}:\n" + "\n".join(comparison.reasons)
        if dry_run:
            log.warning(message)
            return []
        raise RuntimeError(f"not released: {message}\n{rows}")
    if dry_run:
        return []
    pushed = push(remote)
    (log.warning if pushed.startswith("not pushed") else log.info)("Data: %s", pushed)
    write_changelog(version, f"{against[0].upper()}{against[1:]}. Data: {pushed}.\n\n{rows}")
    tags = [register(artifact, version) for artifact in ARTIFACTS]
    log.info("Released. To share it: git push origin HEAD %s", " ".join(tags))
    return tags


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Release models and pseudo-labels that are better, as a Prefect flow.")
    parser.add_argument("--tolerance", type=float, default=TOLERANCE, help="by how much one figure may be worse (default: %(default)s)")
    parser.add_argument("--bump", choices=BUMPS, default="minor", help="part of the version that counts up (default: %(default)s)")
    parser.add_argument("--remote", help="DVC remote to push to (default: the default one)")
    parser.add_argument("--dry-run", action="store_true", help="show the table, and do nothing else")
    arguments = parser.parse_args()
    release(arguments.tolerance, arguments.bump, arguments.remote, arguments.dry_run)
