"""Crops, tracks and settings for tests of training: faces of dots, 64 pixels wide."""

from pathlib import Path

import cv2
import numpy as np

from strrn.core.geometry import CropTransform
from strrn.core.landmarks import load_scheme
from strrn.core.tables import crops_schema, still_crops_schema, write_table
from strrn.data.augmentation import AugmentationParameters
from strrn.data.datasets import Track
from strrn.data.motion import MotionParameters
from strrn.training.flicker import FlickerParameters
from strrn.training.loop import LoopParameters, Schedule
from strrn.training.pretrain import Setting
from strrn.training.reference import Reference
from tests.models.small import SIZE, reference_shape

SCHEME = load_scheme("ibug68")


def draw(points: np.ndarray) -> bytes:
    image = np.full((SIZE, SIZE, 3), 90, np.uint8)
    for number, (x, y) in enumerate(points):
        cv2.circle(image, (round(float(x) * 16), round(float(y) * 16)), 24, (number * 3, 255 - number * 3, 200), -1, cv2.LINE_AA, 4)
    return cv2.imencode(".png", image)[1].tobytes()


def setting(seed: int = 0) -> Setting:
    shape = reference_shape()
    return Setting(
        scheme=SCHEME,
        reference=Reference(SIZE, shape, np.zeros((5, 2), np.float32), float(SCHEME.distance(shape))),
        augmentation=AugmentationParameters(2.0, 0.02, 0.01, True, 0.1, 0.1, 1.0, 3, 2.0, 0.8, 0.1),
        motion=MotionParameters(shift=0.05, turn=3.0, zoom=0.03, deform=0.02, noise=0.01, slowest=0.1, length=3, interleaved=2),
        flicker=FlickerParameters(0.05, 0.02, 0.2, 2, 0.2, 0.3),
        seed=seed,
    )


def loop(**changes: object) -> LoopParameters:
    values = {
        "batch_size": 4,
        "num_batches": 0,
        "learning_rate": 1e-3,
        "schedule": Schedule.plateau,
        "weight_decay": 0.01,
        "max_epochs": 2,
        "patience": 2,
        "tolerance": 0.0,
        "drop": 3.0,
        "num_drops": 1,
        "average": 0.5,
        "workers": 2,
        "threads": 1,
    }
    return LoopParameters(**{**values, **changes})


def write_stills(folder: Path, count: int = 8, hidden: int = 0) -> None:
    """hidden: how many points of the jaw the first face lacks; the second lacks twice as many, and so on, up to all."""
    random = np.random.default_rng(0)
    for split in ("train", "val"):
        points = (reference_shape() + random.normal(size=(count, 1, 2)) * 2).astype(np.float32)
        valid = np.arange(68) >= np.minimum(17, hidden * np.arange(1, count + 1))[:, None]
        columns = {name: [split] * count for name in ("image_id", "identity", "split", "source", "licence")}
        columns |= {"image": [draw(p) for p in points], "points_crop": np.where(valid[..., None], points, np.nan)}
        columns |= {name: valid for name in ("valid", "visible")}
        write_table(folder / f"stills_{split}.parquet", columns, still_crops_schema(68))


def write_track(path: Path, length: int) -> None:
    """A table of grey crops, frames 3, 4, …; the second repeats the first."""
    image = cv2.imencode(".png", np.full((SIZE, SIZE, 3), 90, np.uint8))[1].tobytes()
    columns = {"frame": np.arange(3, 3 + length), "image": [image] * length, "repeats": np.arange(length) == 1}
    columns |= {"transform": [[1.0, 0.0, 0.0, 0.0]] * length, "box": [[0.0, 0.0, 1.0, 1.0]] * length}
    write_table(path, {**columns, "face_probability": np.ones(length), "detected": np.ones(length, bool)}, crops_schema())


def track(length: int = 6, name: str = "clip.0", repeats: int | None = None) -> Track:
    """A face that drifts to the right, seen through crops that follow half of the way."""
    transforms = [CropTransform(1.0, 0.0, -0.5 * t, 0.0, SIZE) for t in range(length)]
    points = [reference_shape() + np.array([1.0 * t, 0.0], np.float32) for t in range(length)]
    images = [draw(transform.to_crop(p)) for transform, p in zip(transforms, points, strict=True)]
    flags = np.arange(length) == (-1 if repeats is None else repeats)
    return Track(name, "clip", np.arange(10, 10 + length), images, transforms, flags)
