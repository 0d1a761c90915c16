"""The clips that every round is tested on, by dataset: rendered_test, head_scan (both with truth) and real_clips."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

DATASETS_WITH_TRUTH = ("rendered_test", "head_scan")
REAL_CLIPS = "real_clips"


@dataclass(frozen=True)
class EvaluationClip:
    """A clip that no model was trained on. truth: path of its truth table, None for real clips."""

    clip_id: str
    dataset: str
    path: Path
    truth: Path | None
    num_frames: int


def evaluation_clips(records: Sequence[Mapping]) -> list[EvaluationClip]:
    """The test clips among clip records whose paths are resolved (see `strrn.data`), in the order of their ids.

    Raises ValueError where a dataset has no clip, or a clip of a kind that needs truth has none.
    """
    clips = []
    for record in records:
        dataset = {"rendered": "rendered_test", "head_scan": "head_scan", "real": REAL_CLIPS}[record["kind"]]
        if record["split"] != "test":
            continue
        truth = Path(record["truth"]) if record["truth"] else None
        if (truth is None) != (dataset == REAL_CLIPS):
            raise ValueError(f"test clip {record['clip_id']!r} of kind {record['kind']!r}: truth is {record['truth']!r}")
        clips.append(EvaluationClip(record["clip_id"], dataset, Path(record["path"]), truth, int(record["num_frames"])))
    found = {clip.dataset for clip in clips}
    missing = [dataset for dataset in (*DATASETS_WITH_TRUTH, REAL_CLIPS) if dataset not in found]
    if missing:
        raise ValueError(f"no test clips of {missing} among {len(records)} clip records: check the splits in params.yaml")
    return sorted(clips, key=lambda clip: clip.clip_id)
