"""A whole run in a small folder: drawn faces that move, predictions that are the truth plus noise, everything the report reads."""

from pathlib import Path

import cv2
import numpy as np

from strrn.core.files import write_json, write_json_lines, write_text
from strrn.core.landmarks import load_scheme
from strrn.core.tables import predictions_schema, still_crops_schema, stills_schema, truth_schema, write_table
from strrn.core.video import VideoWriter
from strrn.evaluation.predict import cycle_schema
from strrn.models import checkpoint
from strrn.stages.paths import BRF_PREDICTIONS, CROPS, MODELS, PREDICTIONS, PSEUDO
from tests.models.small import build, header

SCHEME = load_scheme("ibug68")
L = SCHEME.num_landmarks
FRAMES = 16
STILLS = 4  # of a split; in the last of the test no face is found
HEIGHT, WIDTH = 120, 160

PARAMETERS = """
seed: 0
scheme: ibug68
labels: {rendered: true, ibug_300w: null, own: [], val: 0.1, test: 0.1, semi_share: 0.0, max_rejected: 0.0}
videos: {ibug_300vw: null, youtube_faces: null, youtube_celebrities: null, val: 0.0, test: 0.0}
baselines: []
rounds:
  r1: {from: r0}
evaluate:
  workers: 1
  max_frames_per_clip: 12
  failure_threshold: 0.08
  real_clips:
    clips/shown.mp4: always
    clips/empty.mp4: never
mine: {selection: consensus}
refine: {backbone: detector}
export: {round: best}
report:
  overlay_clip: shown
  overlay_height: 96
  overlay_quality: 30
  error_clip: scan
  num_frames: 2
  num_stills: 4
  picture_size: 64
"""


def drawn_face() -> np.ndarray:
    """(L, 2): a plausible face about (0, 0), 60 px wide."""
    points = np.zeros((L, 2))

    def arc(centre: tuple[float, float], radii: tuple[float, float], start: float, end: float, number: int) -> np.ndarray:
        angles = np.radians(np.linspace(start, end, number, endpoint=abs(end - start) < 360))
        return np.stack([centre[0] + radii[0] * np.cos(angles), centre[1] + radii[1] * np.sin(angles)], -1)

    points[:17] = arc((0, -5), (30, 36), 170, 10, 17)
    points[17:22], points[22:27] = arc((-14, -14), (9, 5), 200, 340, 5), arc((14, -14), (9, 5), 200, 340, 5)
    points[27:31], points[31:36] = np.linspace((0, -9), (0, 5), 4), np.linspace((-6, 9), (6, 9), 5)
    points[36:42], points[42:48] = arc((-14, -8), (7, 3), 180, 540, 6), arc((14, -8), (7, 3), 180, 540, 6)
    points[48:60], points[60:] = arc((0, 18), (12, 6), 180, 540, 12), arc((0, 18), (8, 3), 180, 540, 8)
    return points.astype(np.float32)


def path_of_face(frames: int) -> np.ndarray:
    """(T, L, 2): the face on a smooth path inside the frame."""
    time = np.arange(frames)[:, None]
    centre = np.concatenate([80 + 25 * np.sin(time / 4), 62 + 10 * np.cos(time / 5)], 1)
    return (drawn_face()[None] + centre[:, None]).astype(np.float32)


def picture(points: np.ndarray | None) -> np.ndarray:
    image = np.full((HEIGHT, WIDTH, 3), (40, 60, 80), np.uint8)
    if points is not None:
        cv2.fillPoly(image, [points[list(range(17)) + list(range(26, 16, -1))].astype(np.int32)], (210, 160, 130))
        for first, second in SCHEME.edges:
            cv2.line(image, points[first].astype(int).tolist(), points[second].astype(int).tolist(), (60, 30, 30), 1)
    return image


def make_run(root: Path) -> None:
    """Everything that the stage `report` reads, for the rounds r0 and r1, but the scores."""
    random = np.random.default_rng(0)
    rendered, raw, paths = root / "data/rendered", root / "data/raw", {}
    for name in ("first", "scan", "held", "shown", "empty"):
        folder = (rendered if name in ("first", "scan", "held") else raw) / "clips"
        points = paths[name] = path_of_face(FRAMES)
        with VideoWriter(_parent(folder / f"{name}.mp4"), 25, 23) as writer:
            for frame in points:
                writer.write(picture(None if name == "empty" else frame))
        if folder.parent == rendered:
            valid = np.ones((FRAMES, L), bool)
            columns = {"frame": np.arange(FRAMES), "points_frame": points, "valid": valid, "visible": valid}
            write_table(folder / f"{name}.parquet", columns, truth_schema(L))
    record = {
        "split": "test",
        "num_frames": FRAMES,
        "fps": 25.0,
        "height": HEIGHT,
        "width": WIDTH,
        "licence": "CC0",
        "source": "test",
    }
    records = [
        record | {"clip_id": name, "kind": kind, "identity": name, "path": f"clips/{name}.mp4", "truth": f"clips/{name}.parquet"}
        for name, kind in (("first", "rendered"), ("scan", "head_scan"))
    ]
    held = records[0] | {"clip_id": "held", "split": "val", "path": "clips/held.mp4", "truth": "clips/held.parquet"}
    write_json_lines(rendered / "clips.jsonl", [*records, held, records[0] | {"clip_id": "other", "split": "train"}])
    still = path_of_face(STILLS)
    columns = {
        **{name: [f"{name}{i}" for i in range(STILLS)] for name in ("image_id", "identity", "split", "source", "licence")},
        "image": [cv2.imencode(".png", picture(points)[..., ::-1])[1].tobytes() for points in still],
        "valid": np.ones((STILLS, L), bool),
        "visible": np.ones((STILLS, L), bool),
    }
    for split in ("train", "test"):
        write_table(rendered / f"stills_{split}.parquet", columns | {"points_frame": still}, stills_schema(L))
    write_table(_parent(root / CROPS / "stills_test.parquet"), columns | {"points_crop": still}, still_crops_schema(L))
    paths |= {name: points[None] for name, points in zip(columns["image_id"], still, strict=True)}
    for round_name, noise in (("r0", 1.5), ("r1", 0.75)):
        folder = root / PREDICTIONS / round_name
        for system, factor in (("detector", 1.0), ("tracker", 0.5)):
            moved = {name: points + random.normal(0, noise * factor, points.shape) for name, points in paths.items()}
            moved["empty"][:] = np.nan
            moved["first"][-1] = np.nan
            moved[columns["image_id"][-1]][:] = np.nan
            write_predictions(folder / f"{system}.parquet", moved)
        real = [(system, name) for system in ("detector", "tracker") for name in ("shown", "empty")]
        cycles = {
            "system": [system for system, _ in real for _ in range(FRAMES)],
            "clip_id": [name for _, name in real for _ in range(FRAMES)],
            "frame": np.tile(np.arange(FRAMES), len(real)),
            "cycle_error": np.concatenate([np.full(FRAMES, 0.02 if name == "shown" else np.nan) for _, name in real]),
        }
        write_table(folder / "cycle.parquet", cycles, cycle_schema())
        for model in ("detector", "tracker"):
            log = "".join(f"{epoch},validation_error,{noise / (epoch + 20)}\n{epoch},points,0.1\n" for epoch in range(5))
            write_text(root / MODELS / round_name / f"{model}.log.csv", "epoch,name,value\n" + log)
            checkpoint.save(root / MODELS / round_name / f"{model}.safetensors", build("mdm"), {**header("mdm"), "train_seed": 7})
    # BRF's predictions: those of r1, with the detector as the backbone and the calmer tracker as what the head made of it.
    for source, name in (("detector", "backbone"), ("tracker", "brf")):
        (_parent(root / BRF_PREDICTIONS / "x").parent / f"{name}.parquet").write_bytes(
            (root / PREDICTIONS / f"r1/{source}.parquet").read_bytes()
        )
    names = {"detector": "backbone", "tracker": "brf"}
    cycles["system"] = [names[system] for system in cycles["system"]]
    write_table(root / BRF_PREDICTIONS / "cycle.parquet", cycles, cycle_schema())
    quantiles = {"0.05": 0.004, "0.50": 0.012, "0.95": 0.05}
    summary = {
        "frames_seen": 100,
        "kept": 60,
        "followed": 7,
        "dropped": {"l_det": 30, "repeats the frame before": 10},
        "teaches": {"detector": 35, "tracker": 25},
        "quantiles": {"l_det": quantiles, "l_tck": quantiles},
        "threshold": 0.02,
        "per_clip": {},
    }
    write_json(root / PSEUDO / "r1/summary.json", summary)
    write_text(raw / "data_card.md", "# Data\n\n- first <source>\n- second\n\n| name | licence |\n|---|---|\n| a | CC0 |\n")
    write_text(root / "params.yaml", PARAMETERS)


def write_predictions(path: Path, clips: dict[str, np.ndarray]) -> None:
    """A predictions table of clips (name -> points_frame (T, L, 2))."""
    points = np.concatenate(list(clips.values()))
    columns = {
        "clip_id": [name for name, track in clips.items() for _ in track],
        "frame": np.concatenate([np.arange(len(track)) for track in clips.values()]),
        "face_id": np.zeros(len(points), int),
        "points_frame": points,
        "confidence": np.ones((len(points), L)),
        "state": np.where(np.isfinite(points).all((1, 2)), "tracking", "lost").tolist(),
        "box": np.zeros((len(points), 4)),
    }
    write_table(path, columns, predictions_schema(L))


def _parent(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
