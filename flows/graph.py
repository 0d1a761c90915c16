"""The stages of dvc.yaml in an order in which they can run, asked from DVC's command line."""

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

DVC = (sys.executable, "-m", "dvc")
NODE = re.compile(r'^"([^"]+)";$')
EDGE = re.compile(r'^"([^"]+)" -> "([^"]+)";$')


def stages(targets: Sequence[str] | None = None) -> list[str]:
    """Names of the stages in topological order; only the targets and what they depend on, where targets are given.

    A target is a stage (`mine@r1`) or a whole `foreach` (`mine`). Raises ValueError for one that dvc.yaml does not have,
    FileNotFoundError where there is no dvc.yaml, RuntimeError with DVC's message where it cannot read it.
    """
    if not Path("dvc.yaml").is_file():
        raise FileNotFoundError(f"{Path('dvc.yaml').absolute()} not found: run the flow from the repository's root")
    result = subprocess.run([*DVC, "--wait-for-lock", "dag", "--dot"], capture_output=True, text=True)
    if result.returncode != 0:
        raise RuntimeError(f"`dvc dag` failed:\n{result.stderr.strip()}")
    return order(parse_dot(result.stdout), targets)


def parse_dot(text: str) -> dict[str, list[str]]:
    """DOT text of `dvc dag` -> stage: the stages that it needs, in the order of dvc.yaml. Data of `dvc add` (x.dvc) are no stages."""
    lines = [line.strip() for line in text.splitlines()]
    needs = {match[1]: [] for line in lines if (match := NODE.match(line)) and not match[1].endswith(".dvc")}
    for line in lines:
        if (match := EDGE.match(line)) and match[1] in needs:
            needs[match[2]].append(match[1])
    return needs


def order(needs: dict[str, list[str]], targets: Sequence[str] | None) -> list[str]:
    """Depth first, so that the stages stay as near to the order of dvc.yaml as their needs allow."""
    wanted = []
    for target in targets or needs:
        found = [stage for stage in needs if stage == target or stage.startswith(f"{target}@")]
        if not found:
            raise ValueError(f"dvc.yaml has no stage {target!r}; it has {', '.join(needs)}")
        wanted += found
    ordered: list[str] = []

    def visit(stage: str) -> None:
        if stage not in ordered:
            for need in needs[stage]:
                visit(need)
            ordered.append(stage)

    for stage in wanted:
        visit(stage)
    return ordered
