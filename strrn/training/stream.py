"""Labelled crops that are rendered while training goes on: more faces than a disk would hold, and none seen for long."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Self

import numpy as np

from strrn.core.images import decode_image
from strrn.core.landmarks import LandmarkScheme
from strrn.core.processes import start_worker
from strrn.core.progress import progress
from strrn.data.crops import CropParameters, crop_still
from strrn.data.datasets import LabelledCrops
from strrn.render.parameters import RenderParameters
from strrn.render.scene import Studio, open_studio
from strrn.render.stills import render_identity
from strrn.training.distributed import from_first

STREAM_SEED = 4  # first number of the seeds after the run's own; the render stage has 1 to 3
AHEAD = 4  # jobs waiting per process


@dataclass(frozen=True)
class StreamParameters:
    """fresh: crops that are replaced before every epoch but the first (0: none, nothing is rendered). workers: processes that render; the
    crops do not depend on it."""

    fresh: int
    workers: int

    def __post_init__(self) -> None:
        if self.fresh < 0 or self.workers < 1:
            raise ValueError(f"fresh must not be negative and workers at least 1, found {self.fresh} and {self.workers}")


@dataclass(frozen=True)
class CropRecipe:
    """What the crops of a stream are made of; seed is the run's."""

    mesh_file: Path
    render: RenderParameters
    crop: CropParameters
    scheme: LandmarkScheme
    reference_shape: np.ndarray
    seed: int


class CropStream:
    """Crops without end; the k-th is a function of the recipe and k alone. A context manager: its processes end with it."""

    def __init__(self, recipe: CropRecipe, parameters: StreamParameters) -> None:
        self.recipe, self.parameters = recipe, parameters
        self.pool = ProcessPoolExecutor(parameters.workers, get_context("forkserver"), initializer=start_worker)
        self.job = partial(_crops_of_identity, recipe=recipe)
        self.stream = self._stream()
        self.taken = self.position = 0  # crops that `take` and `refresh` had of the stream

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def take(self, count: int) -> LabelledCrops:
        """The next `count` crops of the stream."""
        self.taken += count
        crops = list(progress((next(self.stream) for _ in range(count)), "render the first crops", count))
        points = np.stack([points for _, points in crops])
        return LabelledCrops([image for image, _ in crops], points, np.isfinite(points).all(-1))

    def refresh(self, crops: LabelledCrops, epoch: int, num_rendered: int) -> None:
        """Make the crops those of an epoch: before each but the first (0), the `fresh` ones that have been there longest, of the first
        `num_rendered`, are replaced by the next ones of the stream. Waits where rendering is slower. Where several processes train together,
        one renders for all. An epoch that lies further ahead costs no more than all crops."""
        target = self.parameters.fresh * epoch
        if target - num_rendered > self.position:
            self.position = target - num_rendered
            self._go_to(self.taken + self.position)
        for image, points in from_first(lambda: [next(self.stream) for _ in range(target - self.position)]):
            row = self.position % num_rendered
            crops.images[row], crops.points[row], crops.valid[row] = image, points, np.isfinite(points).all(-1)
            self.position += 1

    def close(self) -> None:
        self.pool.shutdown(wait=False, cancel_futures=True)

    def _go_to(self, number: int) -> None:
        """Let the next crop be the stream's `number`-th."""
        identity, rest = divmod(number, self.recipe.render.stills.per_identity)
        self.stream = self._stream(identity)
        for _ in range(rest):
            next(self.stream)

    def _stream(self, identity: int = 0) -> Iterator[tuple[bytes, np.ndarray]]:
        waiting: deque[Future] = deque()
        while True:
            while len(waiting) < AHEAD * self.parameters.workers + self.parameters.fresh:
                waiting.append(self.pool.submit(self.job, identity))
                identity += 1
            yield from waiting.popleft().result()


@cache
def _studio(mesh_file: Path) -> Studio:
    return open_studio(mesh_file)


def _crops_of_identity(identity: int, recipe: CropRecipe) -> list[tuple[bytes, np.ndarray]]:
    random = np.random.SeedSequence([recipe.seed, STREAM_SEED, identity])
    stills = render_identity(_studio(recipe.mesh_file), recipe.render, random, recipe.render.stills.per_identity)
    labels = [recipe.scheme.from_68(still.points_frame, np.ones(len(still.points_frame), bool)) for still in stills]
    return [
        crop_still(decode_image(still.image), *label, recipe.reference_shape, recipe.crop)
        for still, label in zip(stills, labels, strict=True)
    ]
