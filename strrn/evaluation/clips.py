"""The clips that every round is tested on, by dataset: rendered_test, head_scan, the categories of 300VW where the user has them (all with
truth) and real_clips; and rendered_val, by which rounds and settings are chosen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from strrn.core.files import read_json_lines
from strrn.core.summary import VALIDATION
from strrn.core.video import probe
from strrn.data.sources.record import ClipRecord

if TYPE_CHECKING:  # pictures come after clips
    from strrn.evaluation.stills import Tested

DATASETS = {"rendered": "rendered_test", "head_scan": "head_scan"}  # by kind of clip
REAL_CLIPS = "real_clips"


class FaceInView(Enum):
    """Whether a real clip shows a face in every frame, in some, or in none."""

    always = "always"
    sometimes = "sometimes"
    never = "never"


@dataclass(frozen=True)
class EvaluationClip:
    """A clip that no model was trained on. truth: path of its truth table, None for real clips; face: of those, `always` otherwise."""

    clip_id: str
    dataset: str
    path: Path
    truth: Path | None
    face: FaceInView
    num_frames: int
    fps: float


def datasets_with_truth(clips: "Sequence[Tested]") -> list[str]:
    """The names of those that the clips and pictures are of; rendered_test and head_scan come first."""
    found = {clip.dataset for clip in clips if clip.truth is not None}
    return [name for name in DATASETS.values() if name in found] + sorted(found - set(DATASETS.values()))


def rendered_clips(rendered: Path) -> list[EvaluationClip]:
    """The test clips with truth, of the clip records in `rendered`. Raises ValueError where a dataset has none."""
    clips = [_rendered(rendered, record, DATASETS[record["kind"]]) for record in _records(rendered, "test")]
    missing = set(DATASETS.values()) - {clip.dataset for clip in clips}
    if missing:
        raise ValueError(
            f"{rendered / 'clips.jsonl'} has no test clips for {sorted(missing)}: raise their number in params.yaml, render.clips"
        )
    return sorted(clips, key=lambda clip: clip.clip_id)


def validation_clips(rendered: Path) -> list[EvaluationClip]:
    """The clips with truth that rounds and settings are chosen by: as hard as the test clips, of other identities."""
    return [_rendered(rendered, record, VALIDATION) for record in _records(rendered, "val")]


def _records(rendered: Path, split: str) -> list[dict]:
    return [record for record in read_json_lines(rendered / "clips.jsonl") if record["split"] == split]


def _rendered(rendered: Path, record: dict, dataset: str) -> EvaluationClip:
    path, truth = rendered / record["path"], rendered / record["truth"]
    return EvaluationClip(record["clip_id"], dataset, path, truth, FaceInView.always, int(record["num_frames"]), float(record["fps"]))


def research_test_clips(records: Sequence[ClipRecord]) -> list[EvaluationClip]:
    """The test clips among the records of research sets, in which a face is always in view: those that have truth in a dataset of their
    source, the others as real clips."""
    return [
        EvaluationClip(
            clip.clip_id,
            clip.source if clip.truth is not None else REAL_CLIPS,
            Path(clip.path),
            Path(clip.truth) if clip.truth is not None else None,
            FaceInView.always,
            clip.num_frames,
            clip.fps,
        )
        for clip in records
        if clip.split == "test"
    ]


def real_clips(folder: Path, faces: Mapping[str, FaceInView]) -> list[EvaluationClip]:
    """The real test clips: faces maps a path below `folder` to what the clip shows. Raises FileNotFoundError where one is not there."""
    clips = []
    for name, face in faces.items():
        path = folder / name
        if not path.is_file():
            raise FileNotFoundError(f"test clip {path} of params.yaml, evaluate.real_clips, is not there: run the stage `download`")
        info = probe(path)
        clips.append(EvaluationClip(path.stem, REAL_CLIPS, path, None, face, info.num_frames, info.fps))
    return sorted(clips, key=lambda clip: clip.clip_id)
