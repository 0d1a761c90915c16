"""The `strrn` command: run the exported tracker on videos, time it, look at pseudo-labels.

Heavy modules are imported by the handlers, so that it starts quickly.
"""

import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console

from strrn.runtime.parameters import Mode, parameters_to_dict

if TYPE_CHECKING:
    from strrn.core.landmarks import LandmarkScheme
    from strrn.runtime.jobs import Job
    from strrn.runtime.tracker import Tracker
    from strrn.runtime.video import Summary

BENCH_VIDEO = Path("data/rendered/clips/rendered_test_000.mp4")
PSEUDO = Path("data/pseudo")
DEFAULT_CROPS = Path("data/crops")
OUTPUT = Console(highlight=False, soft_wrap=True)
ERRORS = Console(stderr=True, highlight=False, soft_wrap=True)
TABLES = Console(highlight=False, width=200)  # a narrower terminal wraps the lines; rich would cut names and numbers

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
pseudo = typer.Typer(no_args_is_help=True, help="Look at the pseudo-labels of a round, or compare those of two.")
app.add_typer(pseudo, name="pseudo")
ModelsOption = Annotated[
    Path | None,
    typer.Option(help="Folder with tracker.onnx and detector.onnx. Default: models/export, else the package's.", show_default=False),
]
MinFaceOption = Annotated[
    float,
    typer.Option(help="Smallest face that is looked for: its side as a share of the picture's larger side. Smaller takes longer."),
]
ThreadsOption = Annotated[int, typer.Option(min=1, help="Threads of the networks.")]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")]
CropsOption = Annotated[Path, typer.Option(help="Folder of the crops that the round was mined from.")]
SchemeOption = Annotated[
    str | None,
    typer.Option(help="Landmark scheme: a name or a YAML file. Default: the one of the crops.", show_default=False),
]


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        OUTPUT.print(f"strrn {version('strrn')}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version, and end.")] = False,
) -> None:
    """Stable face landmarks in video, on one CPU core."""


@app.command()
def track(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="IN",
            help="Video files, a folder of videos, a folder of images (one video), or the number of a camera.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="A folder (gets VIDEO.overlay.mp4 and VIDEO.landmarks.csv) or, for one video, a name that ends in .mp4 or .webm.",
        ),
    ] = Path("."),
    models: ModelsOption = None,
    faces: Annotated[int, typer.Option(min=1, help="Largest number of faces that are followed at once.")] = 1,
    overlay: Annotated[str, typer.Option(help="Video with the landmarks drawn on it: mp4 (H.264), webm (VP9) or none.")] = "mp4",
    table: Annotated[str, typer.Option(help="Landmarks as csv, parquet or jsonl.")] = "csv",
    mode: Annotated[
        str | None,
        typer.Option(help="tracker or detector (detect every frame anew). Default: as stored in the model.", show_default=False),
    ] = None,
    refine: Annotated[
        bool,
        typer.Option(
            "--refine", help="Detect in every frame, and smooth with the BRF network: calmer, slower after something was in front."
        ),
    ] = False,
    raw: Annotated[bool, typer.Option("--raw", help="Points without smoothing over time.")] = False,
    rotate: Annotated[int, typer.Option(help="Degrees clockwise (90, 180, 270) that bring the faces upright.")] = 0,
    min_face: MinFaceOption = 0.1,
    threads: ThreadsOption = 1,
    overwrite: OverwriteOption = False,
) -> None:
    """Track the faces of a video: writes a video with the landmarks drawn on it and a table of them.

    The table has a row per frame and face: frame, timestamp (seconds), face_id, state (searching, tracking, uncertain, lost), reason (of
    a change), x0, y0, … in pixels of the video, confidence0, …; a frame without a face has one row with empty cells.

    Of several videos, or a folder of them, those that are done already are left out: an interrupted run goes on where it was.

    Example: strrn track holiday.mp4 -o results
    """
    try:
        if mode is not None and mode not in Mode.__members__:
            raise ValueError(f"--mode {mode}: expected one of {', '.join(Mode.__members__)}")
        if refine and (raw or mode == Mode.tracker.name):
            raise ValueError(f"--refine cannot go with {'--raw' if raw else '--mode tracker'}: leave one of them out")
        from strrn.runtime.jobs import not_videos, plan_all

        jobs = plan_all(sources, out, overlay, table)

        import cv2

        from strrn.runtime.tracker import RunningMode, Tracker

        cv2.setNumThreads(threads)
        tracker = Tracker(
            models,
            running_mode=RunningMode.live if isinstance(jobs[0].source, int) else RunningMode.video,
            max_faces=faces,
            smooth=not raw,
            rotation=rotate,
            method=mode,
            refine=refine,
            min_face=min_face,
            num_threads=threads,
        )
    except (ValueError, OSError) as error:
        _fail(error)
    frames = {job.source for job in jobs}  # folders of images among them
    for folder in (Path(source) for source in sources if Path(source).is_dir() and Path(source) not in frames):
        if others := not_videos(folder, out):
            _not_taken(others, "tracked", "videos")
    with _ended_by_sigterm():
        failed = [job.name for job in jobs if not _track_one(job, tracker, overwrite)]
    if failed and jobs[0].of_folder:
        _fail(f"{len(failed)} of {len(jobs)} videos failed: {', '.join(failed)}")
    if failed:
        raise typer.Exit(1)


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends it as Ctrl-C does, and no temporary files are left."""

    def end(*_: object) -> None:
        if signal.getsignal(signal.SIGINT) in (signal.SIG_IGN, signal.SIG_DFL):  # as of a script's background job
            raise KeyboardInterrupt
        signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _track_one(job: "Job", tracker: "Tracker", overwrite: bool) -> bool:
    """Track one video and say what came of it; False where it failed or is damaged."""
    from strrn.core.video import probe, read_frames
    from strrn.runtime.video import camera_frames, track_frames

    if job.of_folder and not overwrite and job.is_done:
        if job.note.exists():
            ERRORS.print(f"error: {job.name}: done before; {job.note.read_text(encoding='utf-8').strip()}", markup=False)
            return False
        OUTPUT.print(f"{job.name}: done before", markup=False)
        return True
    tracker.reset()
    try:
        is_outdated = job.of_folder and job.existing == job.outputs  # the video is younger: it is tracked again
        if job.existing and not overwrite and not is_outdated:
            names = " and ".join(map(str, job.existing))
            raise FileExistsError(f"{names} exist already: give another --out, or --overwrite to replace them")
        if isinstance(job.source, int):
            ERRORS.print("Ctrl-C ends the recording")
            frames, total = camera_frames(job.source), 0
        else:
            frames, total = read_frames(job.source), probe(job.source).num_frames
        with _Progress(job.name, total) as progress:
            try:
                summary = track_frames(frames, tracker, job.overlay, job.table, progress.update)
            except KeyboardInterrupt:
                ERRORS.print(f"stopped after {progress.done} frames of {job.name}, of which nothing is kept", markup=False)
                raise
    except Exception as error:  # of whatever library: the other videos are tracked all the same
        known = isinstance(error, ValueError | OSError)
        ERRORS.print(f"error: {error}" if known else f"error: {job.name}: {type(error).__name__}: {error}", markup=False)
        return False
    if job.of_folder:
        OUTPUT.print(f"{job.name}: {_share(summary)}, {summary.frames / summary.seconds:.0f} frames/s", markup=False)
    else:
        _report(summary, job, tracker)
    job.note.unlink(missing_ok=True)
    if summary.damage:
        text = f"{summary.damage}. The files hold the {summary.frames} frames before the damage"
        ERRORS.print(f"error: {text}", markup=False)
        job.note.write_text(f"{text}\n", encoding="utf-8")
    return not summary.damage


@app.command()
def photos(
    sources: Annotated[list[str], typer.Argument(metavar="IN", help="Pictures, or folders of pictures.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="A folder (gets landmarks.csv and PICTURE.landmarks.jpg).")] = Path("."),
    table: Annotated[str, typer.Option(help="csv, or coco: COCO keypoints (landmarks.json), for annotation tools such as CVAT.")] = "csv",
    models: ModelsOption = None,
    faces: Annotated[int, typer.Option(min=1, help="Largest number of faces in a picture.")] = 20,
    draw: Annotated[bool, typer.Option("--draw/--no-draw", help="Write the pictures with the landmarks drawn on them.")] = True,
    min_face: MinFaceOption = 0.1,
    threads: ThreadsOption = 1,
    overwrite: OverwriteOption = False,
) -> None:
    """Find the faces of pictures, each on its own: writes a table of their landmarks, and the pictures with the landmarks drawn on them.

    The table has a row per face: image, x0, y0, … in pixels of the picture, confidence0, …. Once corrected, it holds labels to learn from
    (params.yaml, labels.own).

    Example: strrn photos holiday/ -o results
    """
    try:
        from strrn.core.progress import progress
        from strrn.runtime.label_files import LABEL_FILES
        from strrn.runtime.photographs import NO_FACE, REJECTED, annotate, find_photographs, not_pictures

        if table not in LABEL_FILES:
            raise ValueError(f"--table {table}: expected one of {', '.join(LABEL_FILES)}")
        found, labels = find_photographs(sources, out), out / LABEL_FILES[table][0]
        outputs = [labels, out / REJECTED, *(photograph.drawn for photograph in found if draw)]
        if not overwrite and (exist := [path for path in outputs if path.exists()]):
            names = ", ".join(map(str, exist[:3])) + ", …" * (len(exist) > 3)
            raise FileExistsError(f"{names} exist already: give another --out, or --overwrite to replace them")
        from strrn.runtime.tracker import RunningMode, Tracker

        tracker = Tracker(models, running_mode=RunningMode.image, max_faces=faces, min_face=min_face, num_threads=threads)
        if labels.exists():  # it may have been corrected
            shutil.copy2(labels, labels.with_suffix(f"{labels.suffix}.bak"))
        if others := [path for source in sources if Path(source).is_dir() for path in not_pictures(Path(source), out)]:
            _not_taken(others, "looked at", "pictures")
        with _ended_by_sigterm():
            outcome = annotate(progress(found, "look at pictures"), tracker, table, out, draw)
    except KeyboardInterrupt:
        ERRORS.print("stopped: the table is not written, what is drawn stays")
        raise
    except (ValueError, OSError) as error:
        _fail(error)
    OUTPUT.print(f"pictures  {len(found)}, {len(found) - len(outcome.rejected)} of them with a face")
    OUTPUT.print(f"faces     {outcome.faces}")
    if nobody := [str(path) for path, reason in outcome.rejected.items() if reason == NO_FACE]:
        OUTPUT.print(f"no face   {', '.join(nobody[:3])}{', …' * (len(nobody) > 3)} ({len(nobody)})", markup=False)
    OUTPUT.print(f"models    {_models_of(tracker)}", markup=False)
    OUTPUT.print(f"table     {labels}", markup=False)
    if outcome.rejected:
        OUTPUT.print(f"rejected  {out / REJECTED}", markup=False)
    for reason in outcome.unreadable:
        ERRORS.print(f"error: {reason}", markup=False)
    if outcome.unreadable:
        raise typer.Exit(1)


@app.command()
def bench(
    video: Annotated[Path, typer.Argument(help="A video with a face in view; its frames are brought to 640 x 360.")] = BENCH_VIDEO,
    models: ModelsOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure how fast the tracker is on one core of this machine.

    Example: strrn bench holiday.mp4
    """
    import json

    try:
        from strrn.core.model_files import default_models
        from strrn.runtime.benchmark import benchmark

        if video == BENCH_VIDEO and not video.exists():
            raise FileNotFoundError("name a video with a face in view: strrn bench my.mp4")
        figures = benchmark(models or default_models(), video)
    except (ValueError, OSError) as error:
        _fail(error)
    if as_json:
        OUTPUT.print(json.dumps(figures, indent=1), markup=False)
        return
    from strrn.runtime.benchmark import MEANINGS

    OUTPUT.print(f"{figures['machine']}; {video}", markup=False)
    for name, meaning in MEANINGS.items():
        OUTPUT.print(f"{figures[name]:>10.1f}  {meaning}", markup=False)
    for name, speed in figures["peers"].items():
        if "missing" in speed:
            OUTPUT.print(f"{'':>10}  {name}, not measured: {speed['missing']}", markup=False)
        else:
            text = f"frames/s, {name}, same frames of 640 x 360; a face in {speed['share_with_face']:.0%} of them"
            OUTPUT.print(f"{speed['frames_per_second']:>10.1f}  {text}", markup=False)


@app.command()
def info(
    model: Annotated[
        Path | None, typer.Argument(help="tracker.onnx or detector.onnx. Default: the tracker that `strrn track` takes.", show_default=False)
    ] = None,
    picture: Annotated[Path | None, typer.Option(help="Draw the landmarks with their numbers into this .svg file.")] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Show what an exported model is: landmarks, round, versions, licence of its training data, settings of the tracking loop."""
    from strrn.core.model_files import TRACKER_FILE, default_models
    from strrn.runtime.models import open_model

    try:
        model = model or default_models() / TRACKER_FILE
        session, about = open_model(model)
        if picture:
            from strrn.runtime.landmark_map import write_landmark_map

            write_landmark_map(picture, about.scheme, about.reference_shape, overwrite)
    except (ValueError, OSError) as error:
        _fail(error)
    rows = {
        "kind": about.kind,
        "round": about.round,
        "landmarks": f"{about.scheme.num_landmarks} ({about.scheme.name})",
        "crop": f"{about.size} x {about.size} px, read as means of {about.stride} x {about.stride}",
        "inputs": ", ".join(f"{value.name} {value.type} {value.shape}" for value in session.get_inputs()),
        "outputs": ", ".join(f"{value.name} {value.type} {value.shape}" for value in session.get_outputs()),
        "file": f"{model}, {model.stat().st_size / 1e6:.1f} MB",
        "versions": ", ".join(f"{name} {version}" for name, version in about.versions.items()),
        "licence of training data": about.licence,
        "loop": ", ".join(f"{name} {value}" for name, value in parameters_to_dict(about.runtime).items()),
    }
    width = max(map(len, rows))
    for name, value in rows.items():
        OUTPUT.print(f"{name:{width}}  {value}", markup=False)


@app.command()
def labels(
    split: Annotated[str, typer.Option(help="train, val or test.")] = "train",
    source: Annotated[
        str | None,
        typer.Option(help="own, 300w, rendered, … Default: what is not rendered, if there is any.", show_default=False),
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Number of crops to draw.")] = 30,
    out: Annotated[Path, typer.Option("--out", "-o", help="The sheet, a .png or .jpg; replaces an older one.")] = Path("reports/labels.png"),
    crops: Annotated[Path, typer.Option(help="Folder of the crops, which the stage crop writes.")] = DEFAULT_CROPS,
    scheme: SchemeOption = None,
) -> None:
    """Draw labelled crops, to look at before anything is trained. Landmarks of small schemes get their numbers.

    Example: dvc repro crop && strrn labels
    """
    try:
        from strrn.evaluation.labels_sheet import labels_sheet
        from strrn.evaluation.pseudo_sheet import check_name, write_sheet

        check_name(out)
        stills = crops / f"stills_{split}.parquet"
        if not stills.is_file():
            raise FileNotFoundError(f"no {stills}: run `dvc repro crop`; --split is one of train, val, test")
        sheet, counts = labels_sheet(stills, _scheme(scheme, crops), source, count)
        write_sheet(out, sheet)
    except (ValueError, OSError) as error:
        _fail(error)
    OUTPUT.print(f"labels  {', '.join(f'{number} {name}' for name, number in counts.items())} ({split})", markup=False)
    OUTPUT.print(f"sheet   {out}", markup=False)


@pseudo.command()
def show(
    name: Annotated[str, typer.Argument(metavar="ROUND", help="A round (r1) or its folder.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The sheet, a .png or .jpg. Default: reports/pseudo_ROUND.png.", show_default=False),
    ] = None,
    clip: Annotated[list[str] | None, typer.Option(help="Only this clip or track; may be repeated.", show_default=False)] = None,
    kept: Annotated[bool | None, typer.Option("--kept/--dropped", help="Draw only kept or only dropped frames.", show_default=False)] = None,
    count: Annotated[int, typer.Option(min=1, help="Number of frames to draw.")] = 20,
    crops: CropsOption = DEFAULT_CROPS,
    scheme: SchemeOption = None,
) -> None:
    """Draw kept and dropped frames of a round with their losses, and count them.

    The sheet shows frames from the lowest to the highest loss, of as many clips as possible: the label, what the models say, whom it
    teaches, or why the frame was dropped and by how much it missed the threshold T. It replaces an older sheet of that name.

    Example: strrn pseudo show r1 --clip cap12_edit --dropped
    """
    try:
        from strrn.evaluation.pseudo import clips_of, counts, read_round, round_folder, select_clips
        from strrn.evaluation.pseudo_sheet import check_name, choose_kept_and_dropped, draw_sheet, write_sheet
        from strrn.evaluation.pseudo_tables import counts_table

        folder = round_folder(name, PSEUDO)
        out = out or Path("reports") / f"pseudo_{folder.name}.png"
        check_name(out)
        landmarks = _scheme(scheme, crops)
        mined = read_round(folder, landmarks.num_landmarks)
        chosen = select_clips(mined, clip or [])
        total = counts(mined, chosen)
        share = total["kept"] / total["frames_seen"]
        what = ", ".join([folder.name, *(clip or [])])
        title = f"{what}: {total['frames_seen']} frames seen, {total['kept']} kept ({share:.0%}), T = {mined.threshold:.4f}"
        shown = chosen if kept is None else chosen & (mined.kept == kept)
        sheet = draw_sheet(mined, title, *choose_kept_and_dropped(mined, shown, count), crops, landmarks)
        write_sheet(out, sheet)
    except (ValueError, OSError) as error:
        _fail(error)
    OUTPUT.print(title, markup=False)
    clips = {clip_id: counts(mined, rows) for clip_id, rows in clips_of(mined, chosen).items()}
    TABLES.print(counts_table(clips, total))
    OUTPUT.print(f"sheet  {out}", markup=False)


@pseudo.command()
def diff(
    first: Annotated[str, typer.Argument(help="A round (r1) or its folder.", show_default=False)],
    second: Annotated[str, typer.Argument(help="A round (r2) or its folder.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with all clips and quantiles; fractions, not per cent.")] = False,
    crops: CropsOption = DEFAULT_CROPS,
    scheme: SchemeOption = None,
) -> None:
    """Say what changed between two rounds, per clip: frames kept, how far their labels moved, losses.

    Both have to be mined from the same crops. "Moved" is the mean way of a label's landmarks, in per cent of the distance that the
    heading names: mean and 95 % quantile over the labels that both rounds have.

    Example: strrn pseudo diff r1 r2 --json
    """
    import json

    try:
        from strrn.evaluation.pseudo import difference, read_round, round_folder
        from strrn.evaluation.pseudo_tables import changes_table

        landmarks = _scheme(scheme, crops)
        folders = [round_folder(name, PSEUDO) for name in (first, second)]
        changes = difference(*(read_round(folder, landmarks.num_landmarks) for folder in folders), landmarks)
    except (ValueError, OSError) as error:
        _fail(error)
    if as_json:
        names = {"first": str(folders[0]), "second": str(folders[1])}
        OUTPUT.print(json.dumps(names | changes, indent=1, ensure_ascii=False), markup=False)
    elif not changes["changed"]:
        OUTPUT.print(f"no difference: {changes['kept_in_both']} of {changes['frames_seen']['first']} frames kept in both, equal labels")
    else:
        changed = {clip_id: values for clip_id, values in changes["per_clip"].items() if values["changed"]}
        TABLES.print(changes_table(changed, changes, landmarks.method_normaliser))
        OUTPUT.print(f"{len(changed)} of {len(changes['per_clip'])} clips changed from {first} to {second}", markup=False)


def _scheme(name: str | None, crops: Path) -> "LandmarkScheme":
    from strrn.core.landmarks import load_scheme
    from strrn.evaluation.pseudo import crops_scheme

    return load_scheme(name) if name else crops_scheme(crops)


class _Progress:
    """Frames done and frames/s: a bar on a terminal, a line a minute elsewhere."""

    def __init__(self, what: str, total: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]:.0f} frames/s"),
            TimeRemainingColumn(),
            console=ERRORS,
            disable=not ERRORS.is_terminal,
        )
        self._what, self._total, self.done = what, total, 0
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
        self.done = done
        now = self._clock()
        speed = done / max(now - self._started, 1e-9)
        self._bar.update(self._task, completed=done, speed=speed)
        if not ERRORS.is_terminal and now - self._last_line >= 60:
            self._last_line = now
            of_all = f" of {self._total}" if self._total else ""
            ERRORS.print(f"{self._what}: {done}{of_all} frames, {speed:.0f} frames/s", markup=False)


def _share(summary: "Summary") -> str:
    return f"{summary.frames} frames, {summary.with_points / summary.frames:.0%} of them with a face"


def _report(summary: "Summary", job: "Job", tracker: "Tracker") -> None:
    OUTPUT.print(f"frames   {_share(summary).replace(' frames', '', 1)}")
    if summary.faces > 1:
        OUTPUT.print(f"ids      {summary.faces} (a face that is found again elsewhere gets a new one)")
    if summary.searched and summary.with_points:
        OUTPUT.print(f"search   frames 0 to {summary.searched - 1}, before the first face")
    for loss in summary.losses:
        who = f"face {loss.face_id}, " if summary.faces > 1 else ""
        frames = f"frame {loss.first}" if loss.first == loss.last else f"frames {loss.first} to {loss.last}"
        OUTPUT.print(f"lost     {who}{frames} ({loss.reason})", markup=False)
    OUTPUT.print(f"models   {_models_of(tracker)}", markup=False)
    tracking = summary.frames / max(summary.track_seconds, 1e-9)
    OUTPUT.print(f"speed    {tracking:.0f} frames/s tracking, {summary.frames / summary.seconds:.0f} with video in and out")
    if job.overlay:
        OUTPUT.print(f"overlay  {job.overlay}", markup=False)
    OUTPUT.print(f"table    {job.table}", markup=False)
    if summary.with_points == 0:
        ERRORS.print(
            "warning: no face was found. Do faces lie on their side? Try --rotate 90 (180, 270). Are they small? Try --min-face 0.05",
            markup=False,
        )


def _models_of(tracker: "Tracker") -> str:
    from strrn.core.model_files import PACKAGE_MODELS

    folder = tracker.info.path.parent
    return f"{'of the package' if folder == PACKAGE_MODELS else folder}, round {tracker.info.round}"


def _not_taken(files: list[Path], what: str, kind: str) -> None:
    names = ", ".join(file.name for file in files[:3]) + ", …" * (len(files) > 3)
    ERRORS.print(f"not {what}, since they do not end as {kind} do: {names} ({len(files)})", markup=False)


def _fail(error: object) -> NoReturn:
    ERRORS.print(f"error: {error}", markup=False)
    raise typer.Exit(1)
