"""Training of BRF's head: the frozen backbone looks at every frame once, then the head learns from what it said."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from strrn.core.flow import crop_flow, grey_view
from strrn.core.geometry import CropTransform, fit_similarity
from strrn.methods.jitter import jitter_loss
from strrn.methods.losses import masked_mean
from strrn.models.brf import Refiner
from strrn.training.loop import History, LoopParameters, train
from strrn.training.pretrain import Setting
from strrn.training.reference import Reference
from strrn.training.tracker import to_other_crop

# N crops (size // stride, size // stride, 3) uint8 -> points_crop (N, L, 2), confidence (N, L), patches (N, L, m, m) of heatmaps or None
Look = Callable[[Sequence[np.ndarray]], tuple[np.ndarray, np.ndarray, np.ndarray | None]]
log = logging.getLogger(__name__)
Video = Iterable[tuple[np.ndarray, np.ndarray]]  # frames (H, W, 3) uint8 with points_frame (L, 2), NaN where not known
TOGETHER = 12  # videos that go through the backbone side by side
START_NOISE = 0.1  # of the first crop, in units of d: no better than a face detector's
LOST = 0.5  # of d: a mean error above it means that the points have left the face
LOSS_WEIGHT = 3.0
SCALE = 0.03  # of d: what the Jitter loss takes for 1


@dataclass(frozen=True)
class RefineDataParameters:
    """synthetic: number of videos made of stills, `frames` long. held_out: share of the rendered training clips that is for validation,
    beside the clips of the validation split. repeat: how often a rendered clip comes for one synthetic video; 0: rendered clips, whose
    labels are exact, neither teach nor validate."""

    synthetic: int
    frames: int
    held_out: float
    repeat: int

    def __post_init__(self) -> None:
        if self.synthetic < 0 or self.repeat < 0:
            raise ValueError(f"synthetic and repeat must not be negative, found {self.synthetic} and {self.repeat}")
        if self.synthetic == self.repeat == 0:
            raise ValueError("synthetic and repeat are both 0: nothing is left to learn from")
        if self.frames < 3:
            raise ValueError(f"frames must be at least 3, found {self.frames}")
        if not 0 <= self.held_out < 1:
            raise ValueError(f"held_out must lie in [0, 1), found {self.held_out}")


@dataclass(frozen=True)
class JitterParameters:
    """Of the Jitter loss: mu weighs stability, nu jumps to the other side of the truth. truncate: frames after which back-propagation
    through time ends."""

    mu: float
    nu: float
    truncate: int

    def __post_init__(self) -> None:
        if self.mu < 0 or self.nu < 0:
            raise ValueError(f"mu and nu must not be negative, found {self.mu} and {self.nu}")
        if self.truncate < 1:
            raise ValueError(f"truncate must be at least 1 frame, found {self.truncate}")


@dataclass(frozen=True)
class Recording:
    """What a backbone said of a video of T frames, all in pixels of each frame's crop, placed by the backbone's points of the frame before.

    points, truth (T, L, 2), truth NaN where not known; confidence (T, L); flow (T, L, 2), flow_error (T, L): see `crop_flow`; matrix
    (T, 2, 3): from the crop of the frame before; patches (T, L, m, m) or None.
    """

    points: np.ndarray
    truth: np.ndarray
    confidence: np.ndarray
    flow: np.ndarray
    flow_error: np.ndarray
    matrix: np.ndarray
    patches: np.ndarray | None

    def __len__(self) -> int:
        return len(self.points)

    def part(self, start: int, count: int) -> "Recording":
        values = (getattr(self, field.name) for field in fields(self))
        return Recording(*(None if value is None else value[start : start + count] for value in values))

    def mirrored(self, size: int, order: Sequence[int]) -> "Recording":
        """As in a mirror, x -> size - 1 - x: landmark l is landmark order[l] of the original."""
        order = list(order)
        turn = np.array([-1.0, 1.0], np.float32)
        matrix = self.matrix * np.array([[1, -1, -1], [-1, 1, 1]], np.float32)
        # x' = s - (a (s - x) + b y + t) with s = size - 1
        matrix[:, 0, 2] += (size - 1) * (1 - self.matrix[:, 0, 0])
        matrix[:, 1, 2] += (size - 1) * self.matrix[:, 1, 0]
        points, truth = ((array * turn + np.array([size - 1, 0], np.float32))[:, order] for array in (self.points, self.truth))
        patches = None if self.patches is None else self.patches[:, order, :, ::-1]
        return Recording(points, truth, self.confidence[:, order], self.flow[:, order] * turn, self.flow_error[:, order], matrix, patches)


def record(videos: Sequence[Video], look: Look, stride: int, reference: Reference, random: np.random.Generator) -> list[Recording]:
    """Run a backbone over videos, side by side. Videos of one call have equally many frames."""
    cv2.setNumThreads(1)
    recordings: list[Recording] = []
    with ThreadPoolExecutor(TOGETHER) as pool:
        for first in range(0, len(videos), TOGETHER):
            recordings += _record_together(videos[first : first + TOGETHER], look, stride, reference, random, pool)
    return recordings


def _record_together(
    videos: Sequence[Video], look: Look, stride: int, reference: Reference, random: np.random.Generator, pool: ThreadPoolExecutor
) -> list[Recording]:
    runs = [iter(video) for video in videos]
    rows: list[list[tuple]] = [[] for _ in videos]
    points: list[np.ndarray] = []
    views: list = []
    while True:
        frames = list(pool.map(lambda run: next(run, None), runs))
        if frames[0] is None:
            break
        if not views:
            shapes = [_start(truth, reference, random) for _, truth in frames]
            for _ in range(2):  # as the tracking loop starts a face: the second crop is placed by the landmarks themselves
                transforms = [fit_similarity(shape, reference.shape, reference.size) for shape in shapes]
                crops = [transform.crop(frame, stride) for (frame, _), transform in zip(frames, transforms, strict=True)]
                shapes = [transform.to_frame(found) for transform, found in zip(transforms, look(crops)[0], strict=True)]
            points = shapes
        transforms = [fit_similarity(shape, reference.shape, reference.size) for shape in points]

        def cut(job: tuple) -> tuple:
            (frame, _), transform = job
            return transform.crop(frame, stride), grey_view(frame, transform)

        crops, now = zip(*pool.map(cut, zip(frames, transforms, strict=True)), strict=True)
        found, confidence, patches = look(crops)
        flows = (
            list(pool.map(lambda job: crop_flow(*job), zip(views, now, points, strict=True)))
            if views
            else [(np.zeros_like(shape), np.zeros(len(shape), np.float32)) for shape in points]
        )
        for n, (row, (_, truth), transform) in enumerate(zip(rows, frames, transforms, strict=True)):
            matrix = change_of_crop(views[n].transform if views else transform, transform)
            patch = None if patches is None else patches[n].astype(np.float16)
            row.append((found[n], transform.to_crop(truth), confidence[n], *flows[n], matrix, patch))
        points = [transform.to_frame(shape) for transform, shape in zip(transforms, found, strict=True)]
        views = list(now)
    return [
        Recording(*(None if part[0] is None else np.stack(part).astype(_kept(part[0])) for part in zip(*row, strict=True))) for row in rows
    ]


def _kept(array: np.ndarray) -> type:
    return np.float16 if array.dtype == np.float16 else np.float32


def _start(truth: np.ndarray, reference: Reference, random: np.random.Generator) -> np.ndarray:
    """The reference shape laid on the face, moved."""
    known = np.isfinite(truth).all(1)
    laid = fit_similarity(truth[known], reference.shape[known], reference.size).to_frame(reference.shape)
    size = np.linalg.norm(np.ptp(laid, 0)) / np.linalg.norm(np.ptp(reference.shape, 0)) * reference.distance
    return laid + random.normal(0, START_NOISE / 2, (1, 2)).astype(np.float32) * size


def change_of_crop(before: CropTransform, now: CropTransform) -> np.ndarray:
    """(2, 3) from pixels of one crop of a video to those of another."""
    corners = np.array([[0, 0], [100, 0], [0, 100]], np.float32)
    images = now.to_crop(before.to_frame(corners))
    return np.column_stack([images[1] - images[0], images[2] - images[0], images[0] * 100]).astype(np.float32) / 100


def usable(recording: Recording, distance: float) -> bool:
    """Whether the backbone keeps the face: in deployment the tracking loop ends what goes on here. distance: d in crop pixels."""
    errors = np.linalg.norm(recording.points - recording.truth, axis=-1)
    return bool(np.nanmean(errors, 1).max() < LOST * distance)


def batch_of(recordings: Sequence[Recording]) -> dict[str, Tensor]:
    """Recordings of equal length as tensors (B, T, …); patches only where all have them."""
    names = [field.name for field in fields(Recording) if getattr(recordings[0], field.name) is not None]
    return {name: torch.from_numpy(np.stack([getattr(one, name) for one in recordings])) for name in names}


class RecordingBatches:
    """Random parts of `length` frames of random recordings, drawn with the weights, half of them mirrored."""

    def __init__(
        self,
        recordings: Sequence[Recording],
        weights: Sequence[float],
        length: int,
        size: int,
        mirror: Sequence[int],
        loop: LoopParameters,
        seed: int,
    ) -> None:
        long = [(one, weight) for one, weight in zip(recordings, weights, strict=True) if len(one) >= length]
        if not long:
            raise ValueError(f"no recording has {length} frames: lower refine.data.frames")
        self.recordings = [one for one, _ in long]
        self.weights = np.array([weight for _, weight in long], float)
        self.weights /= self.weights.sum()
        self.length, self.size, self.mirror, self.loop, self.seed, self.epoch = length, size, mirror, loop, seed, 0

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        random = np.random.default_rng((self.seed, self.epoch))
        for _ in range(self.loop.num_batches):
            chosen = random.choice(len(self.recordings), self.loop.batch_size, p=self.weights)
            parts = []
            for number in chosen:
                one = self.recordings[number]
                part = one.part(int(random.integers(0, len(one) - self.length + 1)), self.length)
                parts.append(part.mirrored(self.size, self.mirror) if random.random() < 0.5 else part)
            yield batch_of(parts)


def unroll(model: Refiner, batch: dict[str, Tensor], truncate: int | None = None) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Run the head over sequences: (t, refined points (B, L, 2) of frame t, those of frame t - 1), both in the crop of t, for t = 1, 2, …

    The first frame's points are the backbone's: with them the state begins.
    """
    refined = batch["points"][:, 0]
    state = model.first_state(len(refined))
    for t in range(1, batch["points"].shape[1]):
        before = to_other_crop(refined, batch["matrix"][:, t])
        if truncate and t % truncate == 0:
            before, state = before.detach(), state.detach()
        patches = batch["patches"][:, t].float() if "patches" in batch else None
        refined, state = model(
            batch["points"][:, t], batch["confidence"][:, t], before, before + batch["flow"][:, t], batch["flow_error"][:, t], state, patches
        )
        yield t, refined, before


def refine_step(parameters: JitterParameters, distance: float) -> Callable[[nn.Module, dict[str, Tensor]], dict[str, Tensor]]:
    """The Jitter loss over the frames of a batch, in units of SCALE * d.

    Its root is minimised, which has the same minimum in every frame: a face behind a hand would otherwise weigh more than all others.
    """

    def step(model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        total, count = 0.0, 0
        for t, refined, before in unroll(model, batch, parameters.truncate):
            truth, truth_before = batch["truth"][:, t], to_other_crop(batch["truth"][:, t - 1], batch["matrix"][:, t])
            valid = torch.isfinite(truth).all(-1) & torch.isfinite(truth_before).all(-1)
            unit = SCALE * distance
            residual = torch.where(valid[..., None], refined - truth, 0.0) / unit
            residual_before = torch.where(valid[..., None], before - truth_before, 0.0) / unit
            loss = jitter_loss(residual, residual_before, parameters.mu, parameters.nu)
            total, count = total + masked_mean(torch.sqrt(loss + 1e-4), valid), count + 1
        return {"jitter": total / count}

    return step


def sequence_errors(model: Refiner | None, recordings: Sequence[Recording]) -> tuple[float, float]:
    """(mean |e_t|, mean |e_t - e_{t-1}|) in crop pixels of the head over recordings, or with None of their backbone."""
    sums = np.zeros(4)
    for recording in recordings:
        batch = batch_of([recording])
        steps = _untouched(batch) if model is None else unroll(model, batch)
        for t, refined, before in steps:
            residual = refined - batch["truth"][:, t]
            change = residual - (before - to_other_crop(batch["truth"][:, t - 1], batch["matrix"][:, t]))
            for index, value in ((0, residual), (2, change)):
                lengths = value.norm(dim=-1)
                known = torch.isfinite(lengths)
                sums[index] += lengths[known].detach().sum().item()
                sums[index + 1] += int(known.sum())
    return float(sums[0] / max(sums[1], 1)), float(sums[2] / max(sums[3], 1))


def _untouched(batch: dict[str, Tensor]) -> Iterator[tuple[int, Tensor, Tensor]]:
    for t in range(1, batch["points"].shape[1]):
        yield t, batch["points"][:, t], to_other_crop(batch["points"][:, t - 1], batch["matrix"][:, t])


def relative_error(recordings: Sequence[Recording]) -> Callable[[nn.Module], float]:
    """Validation error: the head's jitter on whole recordings as a share of the backbone's, and LOSS_WEIGHT times the share by which its
    error is larger than the backbone's: calm counts as long as it costs no accuracy."""
    base = sequence_errors(None, recordings)

    def error(model: nn.Module) -> float:
        accuracy, jitter = (own / before for own, before in zip(sequence_errors(model, recordings), base, strict=True))
        log.info("held out: error %+.1f %%, jitter %+.1f %% of the backbone's", 100 * (accuracy - 1), 100 * (jitter - 1))
        return jitter + LOSS_WEIGHT * max(0.0, accuracy - 1)

    return error


def train_refiner(
    model: Refiner,
    training: Sequence[Recording],
    weights: Sequence[float],
    held_out: Sequence[Recording],
    length: int,
    setting: Setting,
    jitter: JitterParameters,
    loop: LoopParameters,
    seed: int,
) -> History:
    """Train the head on parts of `length` frames of recordings, drawn with weights; the epoch that is best on those held out is kept.

    Raises ValueError where no recording is long enough.
    """
    batches = RecordingBatches(training, weights, length, setting.reference.size, setting.scheme.mirror, loop, seed)

    def epoch_batches(epoch: int) -> RecordingBatches:
        batches.epoch = epoch
        return batches

    return train(model, epoch_batches, refine_step(jitter, model.distance), relative_error(held_out), loop, "refine")
