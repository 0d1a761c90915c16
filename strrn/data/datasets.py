"""Torch datasets. A sample is a function of (seed, epoch, index) alone, so that workers and restarts change nothing."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from strrn.core.geometry import CropTransform
from strrn.core.images import decode_image, reduce_image
from strrn.core.landmarks import LandmarkScheme
from strrn.core.tables import crops_schema, read_table, still_crops_schema
from strrn.data.augmentation import AugmentationParameters, augment
from strrn.data.motion import SyntheticMotion
from strrn.data.ranks import num_ranks, own_rows

BATCHES_AHEAD = 2
PAIR = "pair_"  # starts the keys of a loader called `pair`


@dataclass(frozen=True)
class LabelledCrops:
    """N crops with points. images: encoded; points_crop (N, L, 2), NaN where not valid; valid (N, L)."""

    images: Sequence[bytes]
    points: np.ndarray
    valid: np.ndarray

    def __len__(self) -> int:
        return len(self.images)


def load_still_crops(path: Path, num_landmarks: int) -> LabelledCrops:
    """The still crops of one split, free to be changed. Raises ValueError where there are none."""
    columns = read_table(path, still_crops_schema(num_landmarks))
    if len(columns["image"]) == 0:
        raise ValueError(f"{path} holds no crops: see data/crops/rejected.jsonl for why they were rejected")
    return LabelledCrops(list(columns["image"]), columns["points_crop"].copy(), columns["valid"].astype(bool))


@dataclass(frozen=True)
class TrackFrames:
    """Which frames of a clip show one face. frames (T,); repeats (T,) bool: is it the frame before once more?"""

    track_id: str
    frames: np.ndarray
    repeats: np.ndarray

    def __len__(self) -> int:
        return len(self.frames)


def load_track_frames(path: Path, track_id: str) -> TrackFrames:
    """A track without its pictures: a hundredth of the memory and of the time."""
    columns = read_table(path, crops_schema(), ["frame", "repeats"])
    return TrackFrames(track_id, columns["frame"], columns["repeats"].astype(bool))


@dataclass(frozen=True)
class Track:
    """Crops of one face through a clip. frames (T,); images encoded; transforms: frame -> crop; repeats (T,) bool."""

    track_id: str
    clip_id: str
    frames: np.ndarray
    images: Sequence[bytes]
    transforms: list[CropTransform]
    repeats: np.ndarray

    def __len__(self) -> int:
        return len(self.frames)


def load_track(path: Path, track_id: str, clip_id: str, size: int) -> Track:
    columns = read_table(path, crops_schema())
    transforms = [CropTransform(*map(float, row), size=size) for row in columns["transform"]]
    return Track(track_id, clip_id, columns["frame"], columns["image"], transforms, columns["repeats"].astype(bool))


class StillDataset(Dataset):
    """Augmented labelled crops: images (S // stride, S // stride, 3) uint8, averaged over blocks of stride x stride crop pixels, points
    (L, 2) in crop pixels, valid (L,); with `motion` also start and moves, see SyntheticMotion.

    `key` is (epoch, index); without augmentation the epoch does not matter.
    """

    def __init__(
        self,
        crops: LabelledCrops,
        scheme: LandmarkScheme,
        seed: int,
        augmentation: AugmentationParameters | None,
        motion: SyntheticMotion | None,
        stride: int = 1,
    ) -> None:
        self.crops, self.scheme, self.seed = crops, scheme, seed
        self.augmentation, self.motion, self.stride = augmentation, motion, stride

    def __len__(self) -> int:
        return len(self.crops)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Tensor]:
        epoch, index = key
        random = np.random.default_rng((self.seed, epoch, index))
        image = decode_image(self.crops.images[index])
        points, valid = self.crops.points[index], self.crops.valid[index]
        if self.augmentation is None:
            image = reduce_image(image, self.stride)
        else:
            image, points, valid = augment(image, points, valid, self.scheme, self.augmentation, random, self.stride)
        sample = {"images": torch.from_numpy(image), "points": torch.tensor(points), "valid": torch.tensor(valid)}
        if self.motion is not None:
            sample["start"], sample["moves"] = map(torch.from_numpy, self.motion(points, random))
        return sample


def crop_to_crop(here: CropTransform, there: CropTransform) -> np.ndarray:
    """(2, 3) float32 matrix: pixels of one crop -> pixels of another crop of the same frame, or of one that is taken for it."""
    corners = np.array([[0, 0], [1, 0], [0, 1]], np.float32) * 100
    images_of = there.to_crop(here.to_frame(corners))
    linear = np.column_stack([images_of[1] - images_of[0], images_of[2] - images_of[0]]) / 100
    return np.column_stack([linear, images_of[0]]).astype(np.float32)


class PairDataset(Dataset):
    """Frames t-n to t of unlabelled tracks, `skip` frames apart from each other, with the detections of both ends, for eq. 6.
    Paper: n = `steps` and `skip` are 1.

    pairs: (P, 2), track number and row of frame t. images (n+1, ...): crops, reduced as in StillDataset; before, after: the detections of
    the first and the last frame, each in its own crop; before_here: `before` in the crop of the second frame; back (n, 2, 3): from the crop
    of each later frame to that of the one before; onward (n-1, 2, 3): from the crop of each frame but the ends to that of the next.
    """

    def __init__(
        self, tracks: Sequence[Track], detections: Sequence[np.ndarray], pairs: np.ndarray, stride: int = 1, steps: int = 1, skip: int = 1
    ) -> None:
        self.tracks, self.detections, self.pairs, self.stride = tracks, detections, pairs, stride
        self.before = [skip * number for number in range(steps, -1, -1)]  # frames before t

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Tensor]:
        _, index = key
        number, last = self.pairs[index]
        track, rows = self.tracks[number], [last - before for before in self.before]
        before, after = self.detections[number][rows[0]], self.detections[number][last]
        transforms = [track.transforms[row] for row in rows]
        onward = [crop_to_crop(*pair) for pair in pairwise(transforms[1:])]
        return {
            "images": torch.from_numpy(np.stack([reduce_image(decode_image(track.images[row]), self.stride) for row in rows])),
            "before": torch.from_numpy(before.astype(np.float32)),
            "after": torch.from_numpy(after.astype(np.float32)),
            "before_here": torch.from_numpy(transforms[1].to_crop(transforms[0].to_frame(before))),
            "back": torch.from_numpy(np.stack([crop_to_crop(later, earlier) for earlier, later in pairwise(transforms)])),
            "onward": torch.from_numpy(np.array(onward, np.float32).reshape(-1, 2, 3)),
        }


class Batches:
    """Batches of a dataset, every sample once an epoch (or `num_batches` of them), in an order that seed and `epoch` decide.

    Samples are made by threads ahead of their use: OpenCV and torch release the interpreter's lock, and nothing is forked or copied.
    Where several processes train together, `batch_size` is that of all of them, each makes its own rows (see `own_rows`), and its batches
    also hold `row` (B,): the rows of the whole batch that they are. `first_row`: where the first sample stands in it.
    """

    def __init__(self, dataset: Dataset, batch_size: int, seed: int, workers: int, num_batches: int | None = None) -> None:
        self.dataset, self.seed, self.workers = dataset, seed, max(1, workers)
        self.batch_size = min(batch_size, len(dataset)) if num_batches is None else batch_size
        self.num_batches = num_batches or len(dataset) // self.batch_size
        self.epoch = self.first_row = 0

    def __len__(self) -> int:
        return self.num_batches

    def keys(self) -> list[list[tuple[int, int]]]:
        """The (view, index) keys of every batch of this epoch. A sample that comes again within an epoch gets another view."""
        random = np.random.default_rng((self.seed, self.epoch))
        needed = self.num_batches * self.batch_size
        passes = -(-needed // len(self.dataset))
        keys = [(self.epoch * passes + k, int(i)) for k in range(passes) for i in random.permutation(len(self.dataset))]
        return [keys[start : start + self.batch_size] for start in range(0, needed, self.batch_size)]

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        cv2.setNumThreads(1)
        rows = own_rows(self.batch_size, self.first_row)
        place = {"row": torch.tensor([self.first_row + row for row in rows])} if num_ranks() > 1 else {}
        with ThreadPoolExecutor(self.workers) as pool:
            waiting: deque = deque()

            def made() -> dict[str, Tensor]:
                samples = [sample.result() for sample in waiting.popleft()]
                return {**default_collate(samples), **place} if samples else {}

            for keys in self.keys():
                waiting.append([pool.submit(self.dataset.__getitem__, keys[row]) for row in rows])
                if len(waiting) > BATCHES_AHEAD:
                    yield made()
            while waiting:
                yield made()


def concatenated(loaders: dict[str, Batches], epoch: int) -> Iterator[dict[str, Tensor]]:
    """Batches of several loaders side by side: those with equal keys are concatenated, a loader called `pair` keeps its own
    (see `pairs_of`).

    Raises ValueError where there are fewer pairs in a batch than processes.
    """
    first = 0
    for name, loader in loaders.items():
        loader.epoch = epoch
        if name == "pair":
            if loader.batch_size < num_ranks():
                raise ValueError(f"pair_batch_size {loader.batch_size} is less than the {num_ranks()} processes: raise it, or start fewer")
            continue
        loader.first_row, first = first, first + loader.batch_size
    for parts in zip(*loaders.values(), strict=True):
        merged: dict[str, Tensor] = {}
        for name, part in zip(loaders, parts, strict=True):
            for key, value in part.items():
                key = f"{PAIR}{key}" if name == "pair" else key
                merged[key] = torch.cat([merged[key], value]) if key in merged else value
        yield merged


def pairs_of(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """What the loader called `pair` put into a batch of `concatenated`, under its own keys; empty where there is none."""
    return {name.removeprefix(PAIR): value for name, value in batch.items() if name.startswith(PAIR)}
