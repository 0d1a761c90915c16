"""BRF's head: a ConvLSTM over heatmaps of a frozen backbone, which makes its points those of a video.

A reconstruction: of "A Backbone Replaceable Fine-tuning Framework for Stable Face Alignment" the abstract was at hand, which says that a
ConvLSTM over heatmaps is fine-tuned on video with a Jitter loss. What the maps are, what the head sees beside them and what it answers is
ours.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from strrn.core.landmarks import CONFIDENCE_TOLERANCE, LandmarkScheme, scheme_from_dict
from strrn.models.convlstm import ConvLSTMCell

NUM_CANDIDATES = 6
NUM_CLUES = 2 * NUM_CANDIDATES + 3
NARROWEST, WIDEST = 0.5, 3.0  # standard deviation of a drawn heatmap, in cells
# Expected errors of the backbone's point by which it may be corrected: what was behind a hand must not hold it back when it is seen again.
REACH = 2.0
FARTHEST = 3.0  # cells that a single point may leave the face's motion by


@dataclass(frozen=True)
class RefinerParameters:
    """See Refiner. cell in units of d."""

    channels: int
    window: int
    cell: float
    modes: int
    hidden_size: int

    def __post_init__(self) -> None:
        for name in ("channels", "window", "hidden_size", "cell", "modes"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, found {getattr(self, name)}")
        if self.window % 2 == 0:
            raise ValueError(f"window must be odd, found {self.window}: a landmark's window has a cell in its middle")


@dataclass(frozen=True)
class RefinerState:
    """What the head carries from frame to frame, of B faces. hidden, cell: (B, L, C, k, k); motion (B, 4): of the last frame, see
    `motion_between`. All zero for a face that is new."""

    hidden: Tensor
    cell: Tensor
    motion: Tensor

    def detach(self) -> "RefinerState":
        return RefinerState(self.hidden.detach(), self.cell.detach(), self.motion.detach())


class Refiner(nn.Module):
    """Every landmark has a window of k x k cells that goes with the face; one ConvLSTM cell, shared by all landmarks, remembers what was in
    it.

    The windows stand where the similarity that carries the last refined shape to the backbone's points puts each landmark: what the face
    does as a whole moves window and state together, so that remembering does not delay it. In a window lie the backbone's heatmap (its
    own, or for coordinates a Gaussian about the point, as wide as its confidence says) and a Gaussian where the pixels around the
    landmark went (`core.flow`). From the state come, for each landmark, the shares of six predictions of it in the answer, and a
    displacement. The last refined shape, carried by the similarity that fits it to the backbone's points; by that and by what they say of
    the main ways in which a face's shape changes (`basis`: a head that turns changes as a whole, too, and must not be delayed); by
    the flow of the landmark's own; by the similarity that fits the flow of all; by that and the flow's main ways; by the motion of the
    frame before. All shares are 0 before training: then the answer is the backbone's. No point is corrected by more than REACH times the
    error that its confidence lets expect.

    Small windows rather than a map of the whole crop: the errors to be removed are of a per cent of d, a fiftieth of a cell of 64 x 64.
    window: k. cell: side of a cell in units of d. modes: rows of `basis`, which `main_modes` gives before
    training. patches: does the backbone bring heatmaps (see forward)?
    """

    def __init__(
        self,
        scheme: LandmarkScheme,
        reference_shape: Tensor,
        *,
        channels: int,
        window: int,
        cell: float,
        modes: int,
        hidden_size: int,
        patches: bool,
    ) -> None:
        super().__init__()
        count = scheme.num_landmarks
        self.num_landmarks, self.channels, self.window, self.has_patches = count, channels, window, patches
        self.distance = float(scheme.distance(reference_shape.numpy()))
        self.unit = cell * self.distance  # crop pixels a cell
        self.register_buffer("cells", torch.arange(window, dtype=torch.float32) - window // 2, persistent=False)
        self.register_buffer("basis", torch.zeros(modes, 2 * count))
        self.lstm = ConvLSTMCell(2, channels)
        self.clues = nn.Linear(NUM_CLUES, 4 * channels)
        self.landmark_clues = nn.Parameter(torch.zeros(count, 4 * channels))
        self.own = nn.Linear(channels * window * window + NUM_CLUES, hidden_size)
        self.shared = nn.Linear(2 * hidden_size, hidden_size)
        self.answer = nn.Linear(hidden_size, NUM_CANDIDATES + 2)
        self.landmark_answer = nn.Parameter(torch.zeros(count, NUM_CANDIDATES + 2))
        nn.init.zeros_(self.answer.weight)
        nn.init.zeros_(self.answer.bias)

    @property
    def patch_size(self) -> int:
        """Side of the part of a heatmap, in cells, that `forward` wants around the backbone's point."""
        return 2 * self.window - 1

    def first_state(self, batch: int) -> RefinerState:
        maps = self.cells.new_zeros(batch, self.num_landmarks, self.channels, self.window, self.window)
        return RefinerState(maps, maps, self.cells.new_zeros(batch, 4))

    def forward(
        self,
        points: Tensor,
        confidence: Tensor,
        before: Tensor,
        moved: Tensor,
        flow_error: Tensor,
        state: RefinerState,
        patches: Tensor | None = None,
    ) -> tuple[Tensor, RefinerState]:
        """One frame, all in pixels of its crop.

        points (B, L, 2), confidence (B, L): of the backbone; before (B, L, 2): the refined points of the frame before; moved (B, L, 2):
        where the flow says that these went; flow_error (B, L): see `point_flow`, in crop pixels; patches (B, L, m, m), m = patch_size: the
        backbone's heatmaps about its points, in cells -> refined points (B, L, 2), state.
        """
        carried = apply_motion(motion_between(before, points), before)
        away = moved - carried
        length = away.norm(dim=-1, keepdim=True).clamp(min=1e-6)
        moved = carried + away * (FARTHEST * self.unit / length).clamp(max=1.0)
        trust = 1 / (1 + flow_error.square()) / (1 + (length[..., 0] / self.unit).square())
        together = apply_motion(motion_between(before, moved, trust), before)
        continued = apply_motion(state.motion * points.new_tensor([1.0, 1.0, self.distance, self.distance]), before)
        shaped, shaped_together = carried + self._main(points - carried), together + self._main(moved - together)
        candidates = torch.stack([carried, shaped, moved, together, shaped_together, continued], 2)  # (B, L, K, 2)

        expected = expected_error(confidence) * self.distance
        clues = [
            torch.asinh((torch.cat([points[:, :, None], candidates[:, :, 1:]], 2) - carried[:, :, None]) / self.unit).flatten(2),
            torch.log(expected / self.unit)[..., None],
            torch.log1p(flow_error)[..., None],
            torch.log1p((together - before).norm(dim=-1, keepdim=True) / self.unit),
        ]
        clues = torch.cat(clues, -1)
        if patches is None:
            seen = self._draw((points - carried) / self.unit, expected / self.unit)
        else:
            seen = self._cut(patches, (points - carried) / self.unit)
        maps = torch.stack([seen, self._draw((moved - carried) / self.unit, 0.5 + flow_error / self.unit)], 2).flatten(0, 1)
        bias = (self.clues(clues) + self.landmark_clues).flatten(0, 1)
        hidden, cell = self.lstm(maps, state.hidden.flatten(0, 1), state.cell.flatten(0, 1), bias)
        hidden, cell = hidden.reshape(state.hidden.shape), cell.reshape(state.cell.shape)

        own = torch.relu(self.own(torch.cat([hidden.flatten(2), clues], -1)))
        both = torch.cat([own, own.mean(1, keepdim=True).expand_as(own)], -1)
        answer = self.answer(torch.relu(self.shared(both))) + self.landmark_answer
        shares = torch.tanh(answer[..., :NUM_CANDIDATES, None])
        correction = (shares * (candidates - points[:, :, None])).sum(2) + self.unit * answer[..., NUM_CANDIDATES:]
        length = correction.square().sum(-1, keepdim=True).clamp(min=1e-12).sqrt()
        refined = points + correction * (REACH * expected[..., None] / length).clamp(max=1.0)
        scale = points.new_tensor([1.0, 1.0, 1 / self.distance, 1 / self.distance])
        return refined, RefinerState(hidden, cell, motion_between(before, refined) * scale)

    def _main(self, change: Tensor) -> Tensor:
        """The part of a change of shape (B, L, 2) that lies in the main modes."""
        return ((change.flatten(1) @ self.basis.T) @ self.basis).reshape(change.shape)

    def _draw(self, offset: Tensor, width: Tensor) -> Tensor:
        """Gaussians of standard deviation width (B, L) about offset (B, L, 2) from the windows' middles, in cells: (B, L, k, k)."""
        factor = -0.5 / width.clamp(NARROWEST, WIDEST).square()[..., None]
        across = torch.exp(factor * (self.cells - offset[..., 0:1]).square())
        down = torch.exp(factor * (self.cells - offset[..., 1:2]).square())
        return down[..., :, None] * across[..., None, :]

    def _cut(self, patches: Tensor, offset: Tensor) -> Tensor:
        """The part of patches (B, L, m, m), which lie about offset (B, L, 2), that is in the windows: (B, L, k, k), bilinear."""
        places = (self.cells - offset[..., 0:1])[..., None, :], (self.cells - offset[..., 1:2])[..., :, None]
        half = (self.patch_size - 1) / 2
        side = self.window
        grid = torch.stack([place.expand(*place.shape[:2], side, side) for place in places], -1) / half
        cut = nn.functional.grid_sample(patches.flatten(0, 1)[:, None], grid.flatten(0, 1), align_corners=True)
        return cut.reshape(*patches.shape[:2], side, side)


def main_modes(shapes: Tensor, reference_shape: Tensor, count: int) -> Tensor:
    """The `count` main modes of shapes (N, L, 2), each first fitted to the reference shape (L, 2) by a similarity: (count, 2 L), orthonormal
    rows; 0 where there are fewer shapes than modes."""
    basis = reference_shape.new_zeros(count, reference_shape.numel())
    if len(shapes) == 0:
        return basis
    reference = reference_shape.expand_as(shapes)
    aligned = apply_motion(motion_between(shapes, reference), shapes).flatten(1)
    _, _, modes = torch.linalg.svd(aligned - aligned.mean(0), full_matrices=False)
    basis[: len(modes)] = modes[:count]
    return basis


def build_refiner(header: dict) -> Refiner:
    """The untrained head that a checkpoint's header describes. Here, so that a change of the head trains no detector again."""
    if header.get("architecture") != "brf":
        raise ValueError(f"architecture {header.get('architecture')!r}: expected brf, the head of a refined detector")
    reference = torch.tensor(header["reference_shape"], dtype=torch.float32)
    return Refiner(scheme_from_dict(header["scheme"]), reference, **header["parameters"])


def expected_error(confidence: Tensor) -> Tensor:
    """The mean error, in units of d, of a point with this probability to be nearer than CONFIDENCE_TOLERANCE, if errors are exponential."""
    return -CONFIDENCE_TOLERANCE / torch.log1p(-confidence.clamp(1e-2, 1 - 1e-4))


def motion_between(source: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """The similarity that takes source (B, L, 2) to target with the least squared error, weighted by (B, L): (B, 4) of a - 1, b (the matrix
    [[a, -b], [b, a]] about the source's mean) and the shift of that mean, in the points' unit."""
    weights = torch.ones_like(source[..., 0]) if weights is None else weights
    weights = (weights / weights.sum(1, keepdim=True))[..., None]
    plain = source.mean(1, keepdim=True)
    shape = source - (weights * source).sum(1, keepdim=True)
    middle = (weights * target).sum(1, keepdim=True)
    goal = target - middle
    norm = (weights * shape.square()).sum((1, 2)).clamp(min=1e-6)
    a = (weights * shape * goal).sum((1, 2)) / norm
    b = (weights[..., 0] * (shape[..., 0] * goal[..., 1] - shape[..., 1] * goal[..., 0])).sum(1) / norm
    # Weights move the middle about which the fit turns; the answer is always about the plain mean.
    offset = plain - (weights * source).sum(1, keepdim=True)
    turned = torch.stack([a * offset[:, 0, 0] - b * offset[:, 0, 1], b * offset[:, 0, 0] + a * offset[:, 0, 1]], -1)
    shift = middle[:, 0] + turned - plain[:, 0]
    return torch.cat([torch.stack([a - 1, b], -1), shift], -1)


def apply_motion(motion: Tensor, points: Tensor) -> Tensor:
    """points (B, L, 2) moved by a motion (B, 4) of `motion_between`, about their mean."""
    middle = points.mean(1, keepdim=True)
    shape = points - middle
    a, b = motion[:, 0, None] + 1, motion[:, 1, None]
    turned = torch.stack([a * shape[..., 0] - b * shape[..., 1], b * shape[..., 0] + a * shape[..., 1]], -1)
    return turned + middle + motion[:, None, 2:]
