"""What a detector says of a batch while it is trained."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Detection:
    """steps: points_crop (B, L, 2) after every recurrent step or stack, the last is the answer; log_scale (B, L): log of the expected
    error in units of d; heatmaps: (B, L, h, w) of every stack, empty for a coordinate regressor."""

    steps: list[Tensor]
    log_scale: Tensor
    heatmaps: list[Tensor]

    @property
    def points(self) -> Tensor:
        return self.steps[-1]
