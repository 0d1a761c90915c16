"""Classical self-training: a model's most confident answers on unlabelled frames become labels, and more of them from stage to stage."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import nn

from strrn.core.images import decode_image
from strrn.data.datasets import LabelledCrops
from strrn.data.unlabelled import Frame
from strrn.models.pixels import network_input
from strrn.training.distributed import from_first

BATCH = 64


@dataclass(frozen=True)
class SelfTrainingParameters:
    """stages: how often the set is chosen anew, after equal numbers of epochs; final_share: of the unlabelled frames in the last one. The
    set of stage k of K has the share k / K of that."""

    stages: int
    final_share: float

    def __post_init__(self) -> None:
        if self.stages < 1:
            raise ValueError(f"stages must be at least 1, found {self.stages}")
        if not 0 < self.final_share <= 1:
            raise ValueError(f"final_share must lie in (0, 1], found {self.final_share}")


class GrowingSet:
    """Pseudo-labels of the frames of which the model is surest.

    Raises ValueError where there are fewer epochs than stages, or the first stage has no frame.
    """

    def __init__(self, frames: Sequence[Frame], parameters: SelfTrainingParameters, num_epochs: int) -> None:
        stages = parameters.stages
        if num_epochs < stages:
            raise ValueError(f"self-training in {stages} stages needs as many epochs, found {num_epochs}: raise max_epochs or lower stages")
        self.frames = frames
        self.starts = [stage * num_epochs // stages for stage in range(stages)]
        self.sizes = [int(parameters.final_share * len(frames) * (stage + 1) / stages) for stage in range(stages)]
        if self.sizes[0] < 1:
            raise ValueError(f"of {len(frames)} unlabelled frames the first of {stages} stages gets none: raise final_share or lower stages")

    def grows(self, epoch: int) -> bool:
        return epoch in self.starts

    def chosen(self, model: nn.Module, epoch: int) -> LabelledCrops:
        """The set of the stage that begins with `epoch`: the frames with the highest mean confidence, with the model's points as labels."""
        points, confidence = from_first(partial(answers, model, self.frames))
        best = np.argsort(-confidence, kind="stable")[: self.sizes[self.starts.index(epoch)]]
        return LabelledCrops([self.frames[i].image for i in best], points[best], np.ones(points[best].shape[:2], bool))


@torch.no_grad()
def answers(model: nn.Module, frames: Sequence[Frame]) -> tuple[np.ndarray, np.ndarray]:
    """What a detector says of the frames as they are: points_crop (N, L, 2) float32, and the mean confidence of each frame (N,)."""
    training, place = model.training, next(model.parameters()).device
    model.eval()
    points, confidence = [], []
    for start in range(0, len(frames), BATCH):
        images = [decode_image(frame.image) for frame in frames[start : start + BATCH]]
        found, sure = model(network_input(images, model.stride).to(place))
        points.append(found.float().cpu().numpy())
        confidence.append(sure.float().mean(1).cpu().numpy())
    model.train(training)
    return np.concatenate(points), np.concatenate(confidence)
