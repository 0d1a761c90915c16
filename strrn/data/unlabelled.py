"""Unlabelled pictures for semi-supervised learning: stills whose labels are put away, and frames of tracks with the frame before."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from strrn.core.images import decode_image, reduce_image
from strrn.data.augmentation import AugmentationParameters, photometric, random_view, view_of
from strrn.data.datasets import LabelledCrops, Track, crop_to_crop


def split_labels(crops: LabelledCrops, share: float, seed: int) -> tuple[LabelledCrops, list[bytes]]:
    """(the `share` of the crops that keeps its labels, the pictures of the others), drawn by `seed`.

    Of one seed the smaller share is a part of the larger one. Raises ValueError for a share outside of (0, 1), or one of no crop.
    """
    if not 0 < share < 1:
        raise ValueError(f"tsal.labels must lie in (0, 1), the share of the labelled stills that keeps its labels; found {share}")
    count = round(share * len(crops))
    if not 0 < count < len(crops):
        raise ValueError(f"tsal.labels {share} of {len(crops)} stills are {count}: choose a share that leaves some on either side")
    order = np.random.default_rng(seed).permutation(len(crops))
    kept, others = np.sort(order[:count]), np.sort(order[count:])
    return LabelledCrops([crops.images[i] for i in kept], crops.points[kept], crops.valid[kept]), [crops.images[i] for i in others]


@dataclass(frozen=True)
class Frame:
    """image: encoded crop. before: that of the frame before, and to_before (2, 3): pixel here -> pixel there; None where there is none."""

    image: bytes
    before: bytes | None = None
    to_before: np.ndarray | None = None


def unlabelled_frames(stills: Sequence[bytes], tracks: Sequence[Track]) -> list[Frame]:
    """The stills, and all frames of the tracks that do not repeat the frame before."""
    frames = [Frame(image) for image in stills]
    for track in tracks:
        for row, image in enumerate(track.images):
            if track.repeats[row]:
                continue
            if row and track.frames[row] - track.frames[row - 1] == 1:
                matrix = crop_to_crop(track.transforms[row], track.transforms[row - 1])
                frames.append(Frame(image, track.images[row - 1], matrix))
            else:
                frames.append(Frame(image))
    return frames


def seen_from(image: np.ndarray, to_there: np.ndarray, stride: int) -> np.ndarray:
    """A picture (h, h, 3), reduced by `stride`, as another crop shows it; to_there (2, 3): pixel of that crop -> pixel of the picture's."""
    middle = (stride - 1) / 2  # pixel u of a reduced picture lies at stride * u + middle
    shift = (to_there[:, :2].sum(1) * middle + to_there[:, 2] - middle) / stride
    matrix = np.column_stack([to_there[:, :2], shift]).astype(np.float64)
    return cv2.warpAffine(image, matrix, image.shape[1::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE)


class FrameDataset(Dataset):
    """A frame as the teacher sees it, the frame before, and a random view of it for the student.

    images, before, view: (S // stride, S // stride, 3) uint8; `before` as the crop of the frame itself shows it, so that points of all
    three are in that crop's pixels or moved from them; moves: () bool, is there a frame before (else `before` is the frame);
    matrix (2, 3) float32: crop pixel -> pixel of the view; mirrored: () bool. `key` is (epoch, index).
    """

    def __init__(self, frames: Sequence[Frame], seed: int, view: AugmentationParameters, stride: int = 1) -> None:
        self.frames, self.seed, self.view, self.stride = frames, seed, view, stride

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Tensor]:
        epoch, index = key
        random = np.random.default_rng((self.seed, epoch, index))
        frame = self.frames[index]
        whole = decode_image(frame.image)
        image = before = reduce_image(whole, self.stride)
        if frame.before is not None:
            before = seen_from(reduce_image(decode_image(frame.before), self.stride), frame.to_before, self.stride)
        matrix, mirrored = random_view(whole.shape[0], self.view, random)
        view = photometric(view_of(whole, matrix, self.stride), self.view, random, self.stride)
        return {
            "images": torch.from_numpy(image),
            "before": torch.from_numpy(before),
            "view": torch.from_numpy(view),
            "matrix": torch.from_numpy(matrix.astype(np.float32)),
            "moves": torch.tensor(frame.before is not None),
            "mirrored": torch.tensor(mirrored),
        }
