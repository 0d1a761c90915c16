"""This project beside other landmark trackers on video: how restless, how late, how often without a face.

    python -m benchmarks.peers                     # fetches their models; see there for what to install
    python -m benchmarks.peer_videos VIDEO_FOLDER  # any videos with one face always in view; needs the rendered test clips of `dvc repro`

Every method gets every frame in order and gives the points of one face, smoothed as it does by default. Without truth: rt_jitter and E3
(docs/metrics.md; the width is of the method's own points), and the share of frames without a face. On the rendered test clips, whose truth
is known: residual jitter, excess of E3 over the truth's own, and lag. Jitter is of the 68 points (of MediaPipe's the nearest in meaning), so
that points on a smooth cheek weigh the same in all; where a method puts a point does not matter, as long as it stays there.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.peers import in_68
from strrn.core import metrics
from strrn.core.landmarks import LandmarkScheme, load_scheme
from strrn.core.model_files import default_models
from strrn.core.progress import progress
from strrn.core.video import VIDEO_SUFFIXES, read_frames
from strrn.evaluation.clips import DATASETS, rendered_clips
from strrn.evaluation.predictions import ClipPredictions, read_truth
from strrn.evaluation.score import score_with_truth
from strrn.runtime.benchmark import PEER_MODELS
from strrn.runtime.models import REFINER_FILE
from strrn.runtime.peers import PEERS
from strrn.runtime.tracker import Tracker
from strrn.stages import logs

Follow = Callable[[np.ndarray, float], np.ndarray | None]  # frame, its time in seconds -> points (68, 2) of one face
Method = Callable[[], AbstractContextManager[Follow]]  # a new one for every video


def methods(peers: Path, models: Path | None) -> dict[str, Method]:
    """Every method that can run here, by name. peers: folder of the peers' models; models: of ours, None: those that `strrn track` takes."""
    folder = models or default_models()
    found: dict[str, Method] = {"STRRN": partial(ours, folder)}
    if (folder / REFINER_FILE).is_file():
        found["STRRN --refine"] = partial(ours, folder, refine=True)
    for peer in PEERS:
        if not peer.missing(peers):
            found[peer.name] = lambda peer=peer: _peer(peer.open(peers / peer.model, 1, True))
    return found


@contextmanager
def ours(models: Path, refine: bool = False) -> Iterator[Follow]:
    """This project's tracker over the models of a folder."""
    tracker = Tracker(models, refine=refine)
    yield lambda frame, seconds: next((face.points_frame for face in tracker(frame, seconds) if face.has_points), None)


@contextmanager
def _peer(opened: AbstractContextManager) -> Iterator[Follow]:
    with opened as follow:
        find = in_68(follow)
        yield lambda frame, seconds: next(iter(find(frame, round(1000 * seconds))), None)


def followed(video: Path, method: Method) -> np.ndarray:
    """(T, 68, 2), NaN where the method has no face."""
    nothing = np.full((68, 2), np.nan, np.float32)
    with method() as follow:
        points = [follow(frame, seconds) for _, seconds, frame in read_frames(video)]
    return np.stack([nothing if own is None else own for own in points])


def real_table(videos: Sequence[Path], candidates: dict[str, Method], scheme: LandmarkScheme) -> Table:
    """Figures that need no truth, means over the videos."""
    table = Table("method", "rt_jitter %", "E3 %", "lost frames %", title=f"{len(videos)} real videos, means over videos")
    for name, method in candidates.items():
        jitters, e3, lost = [], [], []
        for video in progress(videos, name):
            points = followed(video, method)
            present = np.isfinite(points).all((1, 2))
            valid = np.repeat(present[:, None], points.shape[1], 1)
            jitters.append(metrics.rt_jitter(points, scheme.distance(points)).ravel())
            e3.append(metrics.jitter_e3(points, metrics.box_size(points, valid)[0], valid))
            lost.append(~present)
        figures = [np.nanmean([metrics.median(jitter) for jitter in jitters]), metrics.mean_over_videos(e3), metrics.mean_over_videos(lost)]
        table.add_row(name, *(f"{100 * figure:.2f}" for figure in figures))
    return table


def rendered_scores(rendered: Path, dataset: str, name: str, method: Method, scheme: LandmarkScheme) -> dict:
    """What `score_with_truth` says of a method on one kind of rendered test clips."""
    predictions, truths = {}, {}
    for clip in progress([clip for clip in rendered_clips(rendered) if clip.dataset == dataset], f"{name}, {dataset}"):
        points = followed(clip.path, method)
        predictions[clip.clip_id] = ClipPredictions(points, np.full(points.shape[:2], np.nan, np.float32), ("",) * len(points))
        truths[clip.clip_id] = read_truth(clip.truth, scheme)
    return score_with_truth(predictions, truths, scheme, 0.08)


def rendered_tables(rendered: Path, candidates: dict[str, Method], scheme: LandmarkScheme) -> Iterator[Table]:
    """Figures against the truth, a table for each kind of test clip."""
    for dataset in DATASETS.values():
        table = Table("method", "residual jitter %", "E3 over the truth's %", "lag, frames", "lost frames %", title=dataset)
        for name, method in candidates.items():
            scores = rendered_scores(rendered, dataset, name, method, scheme)
            figures = [100 * scores["residual_jitter"], 100 * scores["jitter_e3_excess"], scores["lag_e1"], 100 * scores["missing"]]
            table.add_row(name, *(f"{figure:.2f}" for figure in figures))
        yield table


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, help="folders of videos")
    parser.add_argument("--peers", type=Path, default=PEER_MODELS, help="folder of the peers' models (default: %(default)s)")
    parser.add_argument("--models", type=Path, help="folder with our tracker.onnx and detector.onnx")
    parser.add_argument("--rendered", type=Path, default=Path("data/rendered"), help="of `dvc repro render` (default: %(default)s)")
    options = parser.parse_args(arguments)
    videos = [path for folder in options.folders for path in sorted(folder.iterdir()) if path.suffix.lower() in VIDEO_SUFFIXES]
    if options.folders and not videos:
        parser.error(f"no video in {', '.join(map(str, options.folders))}: expected files that end in {', '.join(VIDEO_SUFFIXES)}")
    scheme, candidates, console = load_scheme("ibug68"), methods(options.peers, options.models), Console(width=120)
    if videos:
        console.print(real_table(videos, candidates, scheme))
    for table in rendered_tables(options.rendered, candidates, scheme):
        console.print(table)


if __name__ == "__main__":
    logs.run(main)
