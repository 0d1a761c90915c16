"""The state of the project, read from git, DVC's command line and reports/: commit, stages that have changed, rounds, experiments, releases.

All paths are those of a checkout's root, which is the working directory. Nothing is written.
"""

import json
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from flows.commands import git
from flows.graph import DVC
from strrn.core.summary import exported_round, flatten

METRICS = "reports/metrics.json"
BENCHMARK = "reports/benchmark.json"
EXPERIMENT = re.compile(r"refs/exps/([0-9a-f]{2}/[0-9a-f]{38})/(.+)")
VERSION = re.compile(r"(?P<name>[a-z0-9-]+)@v(?P<version>\d+\.\d+\.\d+)(?P<back>!?)")  # as GTO tags it; with ! at the end: taken back
COMMIT_OF_TAG = "%(if)%(*objectname)%(then)%(*objectname)%(else)%(objectname)%(end)"
# What an experiment writes besides the values and the code that it tries.
WRITTEN = (":!params.yaml", ":!dvc.lock", ":!reports")


@dataclass(frozen=True)
class Commit:
    """date: year-month-day. changed: files of the working tree that differ from it."""

    name: str
    subject: str
    date: str
    changed: int


@dataclass(frozen=True)
class Experiment:
    """baseline: the commit that it started from. values: parameter -> (there, here), None where the baseline is not in this clone.
    files: of code that differ as well. rounds: its metrics, empty where it has none; exported: the round that was."""

    name: str
    baseline: str
    date: str
    values: dict[str, tuple[object, object]] | None
    files: list[str]
    rounds: dict
    exported: str | None


@dataclass(frozen=True)
class Release:
    """A version of an artifact. rounds: the metrics of its commit, empty where it has none; exported: the round that was. taken_back:
    by `gto deprecate`."""

    artifact: str
    version: str
    date: str
    commit: str
    rounds: dict
    exported: str | None
    taken_back: bool


def head() -> Commit:
    """The last commit. Raises RuntimeError where there is none."""
    name, date, subject = git("log", "-1", "--format=%H%n%cs%n%s").split("\n")[:3]
    return Commit(name, subject, date, len(git("status", "--porcelain").splitlines()))


def changed_stages() -> list[str]:
    """Stages that `dvc repro` would run first, but those that it runs every time. Raises RuntimeError with DVC's message where it cannot
    tell."""
    result = subprocess.run([*DVC, "status", "--json"], capture_output=True, text=True)
    if result.returncode != 0:
        raise RuntimeError((result.stderr.strip().splitlines() or ["no message"])[0])
    return outdated(json.loads(result.stdout))


def outdated(status: Mapping[str, list]) -> list[str]:
    """The stages of `dvc status --json` that have another reason to run than that they always do."""
    return [stage for stage, reasons in status.items() if reasons != ["always changed"]]


def rounds() -> tuple[dict, str | None]:
    """({round: {system: {dataset: {metric: value}}}}, the exported round) of reports/metrics.json; ({}, None) where the report was not made
    yet."""
    path = Path(METRICS)
    return _rounds(path.read_text(encoding="utf-8") if path.is_file() else None, METRICS)


def benchmark() -> dict:
    """reports/benchmark.json; empty where nothing was exported yet."""
    path = Path(BENCHMARK)
    return _json(path.read_text(encoding="utf-8"), BENCHMARK) if path.is_file() else {}


def mined(round_names: Iterable[str]) -> dict[str, dict]:
    """Round -> summary of its pseudo-labels, of the rounds that have one in data/pseudo/."""
    paths = {name: Path("data/pseudo") / name / "summary.json" for name in round_names}
    return {name: _json(path.read_text(encoding="utf-8"), str(path)) for name, path in paths.items() if path.is_file()}


def experiments() -> list[Experiment]:
    """Experiments of all commits, the newest first."""
    found = []
    for line in git("for-each-ref", "--sort=-committerdate", "--format=%(refname)%09%(committerdate:short)", "refs/exps").splitlines():
        ref, date = line.split("\t")
        if match := EXPERIMENT.fullmatch(ref):  # others are DVC's own marks
            found.append((ref, match[1].replace("/", ""), match[2], date))
    names = [f"{revision}:params.yaml" for ref, baseline, *_ in found for revision in (ref, baseline)]
    blobs = contents([*names, *(f"{ref}:{METRICS}" for ref, *_ in found)])
    listed = []
    for ref, baseline, name, date in found:
        before, after = (flatten(yaml.safe_load(blobs[f"{revision}:params.yaml"] or "") or {}) for revision in (baseline, ref))
        known = blobs[f"{baseline}:params.yaml"] is not None
        values = {key: (before.get(key), after.get(key)) for key in [*before, *after] if before.get(key) != after.get(key)}
        files = git("diff", "--name-only", baseline, ref, "--", ".", *WRITTEN).splitlines() if known else []
        listed.append(
            Experiment(name, baseline, date, values if known else None, files, *_rounds(blobs[f"{ref}:{METRICS}"], f"{ref}:{METRICS}"))
        )
    return listed


def artifacts() -> list[str]:
    """Names of what dvc.yaml offers for release."""
    path = Path("dvc.yaml")
    return list((yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("artifacts", {})) if path.is_file() else []


def releases() -> list[Release]:
    """Versions of all artifacts, the newest first."""
    lines = git("for-each-ref", "--sort=-creatordate", f"--format=%(refname:strip=2)%09%(creatordate:short)%09{COMMIT_OF_TAG}", "refs/tags")
    tags = [(match, *rest) for tag, *rest in (line.split("\t") for line in lines.splitlines()) if (match := VERSION.fullmatch(tag))]
    taken_back = {match.group("name", "version") for match, *_ in tags if match["back"]}
    blobs = contents([f"{commit}:{METRICS}" for _, _, commit in tags])
    listed = []
    for match, date, commit in tags:
        if not match["back"]:
            key, name = match.group("name", "version"), f"{commit}:{METRICS}"
            listed.append(Release(*key, date, commit, *_rounds(blobs[name], name), key in taken_back))
    return listed


def contents(names: list[str]) -> dict[str, str | None]:
    """`REVISION:PATH` -> the text of that file, None where there is no such revision or file."""
    result = subprocess.run(["git", "cat-file", "--batch"], input="".join(f"{name}\n" for name in names).encode(), capture_output=True)
    if result.returncode != 0:
        raise RuntimeError(f"`git cat-file` failed: {result.stderr.decode().strip()}")
    found, start = {}, 0
    for name in names:
        end = result.stdout.index(b"\n", start)
        header, start = result.stdout[start:end].split(b" "), end + 1
        found[name] = None
        if header[-1] != b"missing":
            found[name] = result.stdout[start : start + int(header[-1])].decode()
            start += int(header[-1]) + 1
    return found


def _rounds(text: str | None, where: str) -> tuple[dict, str | None]:
    metrics = {} if text is None else _json(text, where)
    return metrics.get("rounds", {}), exported_round(metrics)


def _json(text: str, where: str) -> dict:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{where} is not JSON ({error}): take the committed one (`git checkout`), or make it anew with `dvc repro`"
        ) from error
