"""The `strrn` command: run the exported tracker on a video. Heavy modules are imported by the handlers, so that it starts quickly."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console

from strrn.runtime.parameters import Mode, parameters_to_dict

if TYPE_CHECKING:
    from strrn.runtime.video import Summary

DEFAULT_MODELS = Path("models/export")
OUTPUT = Console(highlight=False, soft_wrap=True)
ERRORS = Console(stderr=True, highlight=False, soft_wrap=True)

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def main() -> None:
    """Stable face landmarks in video, on one CPU core."""


@app.command()
def track(
    video: Annotated[Path, typer.Argument(help="A video file (MP4, MOV, WebM, AVI, …).", show_default=False)],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="A folder (gets VIDEO.overlay.mp4 and VIDEO.landmarks.csv) or a name that ends in .mp4 (the table gets .csv).",
            show_default=False,
        ),
    ],
    models: Annotated[Path, typer.Option(help="Folder with tracker.onnx and detector.onnx.")] = DEFAULT_MODELS,
    mode: Annotated[
        str | None,
        typer.Option(help="tracker or detector (detect every frame anew). Default: as stored in the model.", show_default=False),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the networks.")] = 1,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")] = False,
) -> None:
    """Track the face of a video: writes a video with the landmarks drawn on it and a CSV table of them.

    The table has a row per frame: frame, timestamp (seconds), face_id, state (searching, tracking, uncertain, lost), x0, y0, … in
    pixels of the video, confidence0, …; a frame without a face has empty cells.

    Example: strrn track holiday.mp4 -o results
    """
    import dataclasses

    try:
        if mode is not None and mode not in Mode.__members__:
            raise ValueError(f"--mode {mode}: expected one of {', '.join(Mode.__members__)}")
        overlay, table = _outputs(video, out, overwrite)

        import cv2

        from strrn.core.face_detection import FaceDetector
        from strrn.core.video import probe
        from strrn.runtime.models import ModelPair
        from strrn.runtime.video import track_video

        cv2.setNumThreads(threads)
        info = probe(video)
        pair = ModelPair(models, threads)
        parameters = dataclasses.replace(pair.info.runtime, mode=Mode[mode]) if mode else pair.info.runtime
        tracker = pair.face_tracker(FaceDetector(), parameters)
        with _Progress(video.name, info.num_frames) as progress:
            summary = track_video(video, tracker, pair.info.scheme, overlay, table, progress.update)
    except (ValueError, OSError) as error:
        _fail(error)
    _report(summary, overlay, table)
    if summary.damage:
        _fail(f"{summary.damage}. The files hold the {summary.frames} frames before the damage")


@app.command()
def info(model: Annotated[Path, typer.Argument(help="tracker.onnx or detector.onnx.", show_default=False)]) -> None:
    """Show what an exported model is: landmarks, round, versions, licence of its training data, settings of the tracking loop."""
    from strrn.runtime.models import open_model

    try:
        session, about = open_model(model)
    except (ValueError, OSError) as error:
        _fail(error)
    rows = {
        "kind": about.kind,
        "round": about.round,
        "landmarks": f"{about.scheme.num_landmarks} ({about.scheme.name})",
        "crop": f"{about.size} x {about.size} px",
        "inputs": ", ".join(f"{value.name} {value.type} {value.shape}" for value in session.get_inputs()),
        "outputs": ", ".join(f"{value.name} {value.type} {value.shape}" for value in session.get_outputs()),
        "file": f"{model.stat().st_size / 1e6:.1f} MB",
        "versions": ", ".join(f"{name} {version}" for name, version in about.versions.items()),
        "licence of training data": about.licence,
        "loop": ", ".join(f"{name} {value}" for name, value in parameters_to_dict(about.runtime).items()),
    }
    width = max(map(len, rows))
    for name, value in rows.items():
        OUTPUT.print(f"{name:{width}}  {value}", markup=False)


def _outputs(video: Path, out: Path, overwrite: bool) -> tuple[Path, Path]:
    """Names of the overlay video and the table. Raises where one of them exists, or where it would replace the video itself."""
    if not video.is_file():
        raise FileNotFoundError(f"{video} is a folder, expected a video file" if video.is_dir() else f"no video at {video}")
    if out.suffix.lower() == ".mp4" and not out.is_dir():
        overlay, table = out, out.with_suffix(".csv")
    elif out.suffix and not out.is_dir():
        raise ValueError(f"--out {out}: expected a folder or a name that ends in .mp4")
    else:
        overlay, table = out / f"{video.stem}.overlay.mp4", out / f"{video.stem}.landmarks.csv"
    if overlay.resolve() == video.resolve():
        raise ValueError(f"--out {out} is the video itself: give another name")
    existing = [str(path) for path in (overlay, table) if path.exists()]
    if existing and not overwrite:
        raise FileExistsError(f"{' and '.join(existing)} exist already: give another --out, or --overwrite to replace them")
    return overlay, table


class _Progress:
    """Frames done and frames/s: a bar on a terminal, a line a minute elsewhere."""

    def __init__(self, what: str, total: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]:.0f} frames/s"),
            TimeRemainingColumn(),
            console=ERRORS,
            disable=not ERRORS.is_terminal,
        )
        self._what, self._total = what, total
        self._task = self._bar.add_task(what, total=total or None, speed=0.0)

    def __enter__(self) -> "_Progress":
        import time

        self._clock = time.monotonic
        self._started = self._last_line = self._clock()
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def update(self, done: int) -> None:
        now = self._clock()
        speed = done / max(now - self._started, 1e-9)
        self._bar.update(self._task, completed=done, speed=speed)
        if not ERRORS.is_terminal and now - self._last_line >= 60:
            self._last_line = now
            ERRORS.print(f"{self._what}: {done} of {self._total} frames, {speed:.0f} frames/s", markup=False)


def _report(summary: "Summary", overlay: Path, table: Path) -> None:
    share = summary.with_points / summary.frames
    OUTPUT.print(f"frames   {summary.frames}, {share:.0%} of them with a face")
    for loss in summary.losses:
        frames = f"frame {loss.first}" if loss.first == loss.last else f"frames {loss.first} to {loss.last}"
        OUTPUT.print(f"lost     {frames} ({loss.reason})", markup=False)
    tracking = summary.frames / max(summary.track_seconds, 1e-9)
    OUTPUT.print(f"speed    {tracking:.0f} frames/s tracking, {summary.frames / summary.seconds:.0f} with video in and out")
    OUTPUT.print(f"overlay  {overlay}\ntable    {table}", markup=False)
    if summary.with_points == 0:
        ERRORS.print("warning: no face was found in this video", markup=False)


def _fail(error: object) -> NoReturn:
    ERRORS.print(f"error: {error}", markup=False)
    raise typer.Exit(1)
