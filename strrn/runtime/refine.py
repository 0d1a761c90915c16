"""BRF in the tracking loop: what the head remembers of each face, and the call that makes a frame's points those of a video."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from strrn.core.flow import View, crop_flow, grey_view
from strrn.core.geometry import CropTransform

# crops -> points_crop (N, L, 2), confidence (N, L), patches (N, L, m, m) around them of the backbone's heatmaps, None where it has none
Look = Callable[[Sequence[np.ndarray]], tuple[np.ndarray, np.ndarray, np.ndarray | None]]
# inputs of the head's graph by name -> its outputs by name, see `strrn.models.export`
Step = Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]
STATE = ("hidden", "cell", "motion")


@dataclass(frozen=True)
class Refinement:
    """look: the backbone. step: the head. first_state: of one face, each array with a batch axis of 1."""

    look: Look
    step: Step
    first_state: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Memory:
    """Of one face, after a frame. view: its crop; raw, refined: (L, 2) pixels of the frame; state: of the head."""

    view: View
    raw: np.ndarray
    refined: np.ndarray
    state: Mapping[str, np.ndarray]


def begin(refinement: Refinement, frame: np.ndarray, transform: CropTransform, points: np.ndarray) -> Memory:
    """What is remembered of a face's first frame: its points are the backbone's, (L, 2) pixels of the frame."""
    return Memory(grey_view(frame, transform), points, points, refinement.first_state)


def refine(
    refinement: Refinement,
    frame: np.ndarray,
    memories: Sequence[Memory],
    transforms: Sequence[CropTransform],
    points: np.ndarray,
    confidence: np.ndarray,
    patches: np.ndarray | None,
) -> list[Memory]:
    """The next frame of N faces: `look`'s answer in crops that were cut by `transforms` -> what is remembered now, with the refined points.

    The backbone never sees a refined point: its crops are placed by its own.
    """
    views = [grey_view(frame, transform) for transform in transforms]
    before = np.stack([transform.to_crop(memory.refined) for transform, memory in zip(transforms, memories, strict=True)])
    flows = [crop_flow(memory.view, view, memory.raw) for memory, view in zip(memories, views, strict=True)]
    feed = {
        "points_crop": points,
        "confidence": confidence,
        "before_crop": before,
        "moved_crop": before + np.stack([flow for flow, _ in flows]),
        "flow_error": np.stack([error for _, error in flows]),
    }
    feed |= {name: np.concatenate([memory.state[name] for memory in memories]) for name in STATE}
    if patches is not None:
        feed["patches"] = patches
    answer = refinement.step({name: np.asarray(value, np.float32) for name, value in feed.items()})
    return [
        Memory(
            view,
            transform.to_frame(points[n]),
            transform.to_frame(answer["refined_crop"][n]),
            {name: answer[f"next_{name}"][n : n + 1] for name in STATE},
        )
        for n, (view, transform) in enumerate(zip(views, transforms, strict=True))
    ]
