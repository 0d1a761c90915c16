"""Stage `inputs`: reads all of params.yaml, and looks at the files that it names, before anything is rendered or trained.

DVC sees paths in params.yaml, not what lies there. This stage runs every time, in seconds, and writes what later stages depend on: the
scheme as it was read, and fingerprints of own labels and videos, of research sets and of own test clips.
"""

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from fnmatch import fnmatch
from functools import partial
from hashlib import md5, sha256
from pathlib import Path

from strrn.core.files import files_below, read_json, read_yaml, write_json
from strrn.core.landmarks import LandmarkScheme, load_scheme
from strrn.data.crops import CropParameters
from strrn.data.download import DownloadParameters
from strrn.data.inputs import fingerprint
from strrn.data.sources.folder import own_videos
from strrn.data.sources.labelled import LabelledFace
from strrn.data.sources.labels import LabelParameters, labelled_faces
from strrn.data.sources.own_labels import own_faces, pts_files
from strrn.data.sources.packages import PACKAGED_CLIPS
from strrn.data.sources.videos import VideoParameters
from strrn.evaluation.report import ReportParameters
from strrn.evaluation.rounds import EvaluateParameters
from strrn.render.parameters import RenderParameters
from strrn.stages import logs
from strrn.stages.check import check_parameters
from strrn.stages.parameters import load_section, load_value
from strrn.stages.paths import INPUTS, RAW
from strrn.stages.rejected import listed

log = logging.getLogger(__name__)
LOCK = Path("dvc.lock")
SETS = ("ibug_300vw", "youtube_faces", "youtube_celebrities")
Look = Callable[[], dict]  # at what a path of params.yaml leads to; its fingerprint


def main() -> None:
    check_parameters()
    scheme = load_scheme(load_value("scheme", str))
    labels, videos = load_section("labels", LabelParameters), load_section("videos", VideoParameters)
    folders = load_section("crop", CropParameters).folders
    test_clips = load_section("evaluate", EvaluateParameters).real_clips
    check_paths({"labels.own": labels.own, "crop.folders": folders, "evaluate.real_clips": list(test_clips)})
    check_test_clips(test_clips, load_section("download", DownloadParameters), folders)
    check_shown(load_section("report", ReportParameters), test_clips, videos, scheme)
    with listed():
        check_labels(labels, scheme)
    looks: dict[str, dict[str, Look]] = {
        "labels": {path: partial(_look_at_labels, Path(path), scheme) for path in labels.own} | _sets("labels", labels, "ibug_300w"),
        "videos": {path: partial(_look_at_videos, path) for path in folders} | _sets("videos", videos, *SETS),
        # Those below data/raw are another stage's.
        "test_clips": {path: partial(_look_at_clip, Path(path)) for path in test_clips if Path(path).is_absolute()},
    }
    found = {name: fingerprints(INPUTS / f"{name}.json", each) for name, each in looks.items()}
    content = json.dumps(asdict(scheme)).encode()
    found["scheme"] = {"name": scheme.name, "landmarks": scheme.num_landmarks, "sha256": sha256(content).hexdigest()}
    for name, each in found.items():  # only now that all was looked at
        write_json(INPUTS / f"{name}.json", each)


def fingerprints(file: Path, looks: Mapping[str, Look]) -> dict[str, dict]:
    """{path: fingerprint}, for `file`. Of a path that is not on this machine, as in a clone that has the pipeline's data but not what they
    were made of, the fingerprint in `file` stays, if dvc.lock says that the data were made of that; else the source says what is missing."""
    try:
        known = read_json(file) if file.is_file() else {}
    except ValueError:  # such as a merge that was not finished
        known = {}
    found = {}
    for path, look in looks.items():
        if Path(path).exists() or path not in known or not _is_locked(file):
            found[path] = look()
        else:
            log.warning("%s is not here; what was made of it stays as it is", path)
            found[path] = known[path]
        if path in known and known[path] != found[path]:
            log.info("%s has changed", path)
    return found


def _is_locked(file: Path) -> bool:
    """Whether a stage ran with the file as it is."""
    if not LOCK.is_file():
        return False
    digest = md5(file.read_bytes(), usedforsecurity=False).hexdigest()
    deps = [dep for stage in read_yaml(LOCK)["stages"].values() for dep in stage.get("deps", ())]
    return any(dep["path"] == file.as_posix() and dep.get("md5") == digest for dep in deps)


def check_paths(named: Mapping[str, Sequence[str]]) -> None:
    """Raises ValueError for a path that begins with ~ or is empty, and for a folder of videos that the pipeline itself writes."""
    for key, paths in named.items():
        for path in paths:
            if not path or path.startswith("~"):
                raise ValueError(f"params.yaml, {key}: found {path!r}, expected a path; ~ is not understood, write the home folder out")
    data, own = RAW.parent.resolve(), RAW.parent.resolve() / "videos"
    for path in map(Path, named["crop.folders"]):
        inside = [path.resolve(), *path.resolve().parents]
        if data in inside and own not in inside:
            raise ValueError(f"params.yaml, crop.folders: {path} belongs to the pipeline, with test clips in it: put your videos elsewhere")


def check_test_clips(names: Iterable[str], download: DownloadParameters, folders: Iterable[str]) -> None:
    """Raises ValueError where clips of `evaluate.real_clips` share an id or are learned from, FileNotFoundError for one that is neither
    there nor among those that the stage `download` brings."""
    brought = [f"{package.folder}/{file}" for package in download.packages for file in package.files]
    own = [path for _, _, path in own_videos([folder for folder in folders if Path(folder).exists()])]
    packaged = [RAW / clip.path for clip in PACKAGED_CLIPS if clip.split == "train"]
    training = {path.resolve() for path in own + packaged}
    seen: dict[str, str] = {}
    for name in names:
        path, where = RAW / name, "params.yaml, evaluate.real_clips"
        if path.resolve() in training:
            raise ValueError(f"{where}: {name} is learned from: name another, or take it out of crop.folders")
        if path.stem in seen:
            raise ValueError(f"{where}: {seen[path.stem]} and {name} have the same name: rename one of them")
        seen[path.stem] = name
        if not Path(name).is_absolute() and not any(fnmatch(name, file) for file in brought):
            raise FileNotFoundError(f"{where}: {name} is none of the clips that are downloaded; give the absolute path of your own")


def check_shown(report: ReportParameters, test_clips: Iterable[str], videos: VideoParameters, scheme: LandmarkScheme) -> None:
    """Raises ValueError where the report is to show a clip that is not tested on. Clips of research sets are not known here."""
    if any(getattr(videos, key) for key in SETS):
        return
    clips = load_section("render", RenderParameters).clips
    counts = {"rendered_test": clips.test, "head_scan": clips.head_scan} if scheme.knows_ibug68 else {}
    with_truth = [f"{name}_{number:03d}" for name, count in counts.items() for number in range(count)]
    real = [Path(name).stem for name in test_clips]
    for key, clip, known in (("overlay_clip", report.overlay_clip, real + with_truth), ("error_clip", report.error_clip, with_truth)):
        if known and clip not in known:
            raise ValueError(f"params.yaml, report.{key}: {clip!r} is no such test clip; there are {', '.join(known)}")


def check_labels(labels: LabelParameters, scheme: LandmarkScheme) -> None:
    """The tables and names of all labels that are here, without the pictures. Raises as `labelled_faces` does."""
    own = [path for path in labels.own if Path(path).exists()]
    ibug_300w = labels.ibug_300w if labels.ibug_300w and Path(labels.ibug_300w).is_dir() else None
    if own or ibug_300w:
        # Annotated frames of clips are counted later; with them, a larger number may be rejected.
        allowed = 1.0 if labels.semi_share else labels.max_rejected
        faces, rejected = labelled_faces(replace(labels, own=own, ibug_300w=ibug_300w, semi_share=0.0, max_rejected=allowed), [], scheme)
        log.info("labels: %d faces, %d that cannot be used", len(faces), len(rejected))


def _look_at_labels(path: Path, scheme: LandmarkScheme) -> dict:
    faces = [face for face in own_faces(path, scheme, 0.0, 0.0) if isinstance(face, LabelledFace)]
    tables, origin = (pts_files(path), path) if path.is_dir() else ([path], path.parent)
    return fingerprint([*tables, *dict.fromkeys(face.path for face in faces)], origin)


def _look_at_videos(folder: str) -> dict:
    return fingerprint([path for _, _, path in own_videos([folder])], Path(folder))


def _look_at_clip(path: Path) -> dict:
    if not path.is_file():
        raise FileNotFoundError(f"params.yaml, evaluate.real_clips: there is no video {path}")
    return fingerprint([path], path.parent)


def _sets(section: str, parameters: LabelParameters | VideoParameters, *keys: str) -> dict[str, Look]:
    """Of the research sets `keys` of a section, those that are named."""
    named = {key: getattr(parameters, key) for key in keys}
    return {folder: partial(_look_at_set, f"{section}.{key}", Path(folder)) for key, folder in named.items() if folder}


def _look_at_set(key: str, folder: Path) -> dict:
    """Names and sizes only: research sets do not change, and one of them is half a million pictures."""
    if not folder.is_dir():
        raise FileNotFoundError(f"params.yaml, {key}: the folder {folder.absolute()} does not exist")
    return fingerprint(files_below(folder), folder, contents=False)


if __name__ == "__main__":
    logs.run(main)
