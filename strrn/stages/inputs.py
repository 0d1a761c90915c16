"""Stage `inputs`: reads all of params.yaml, and looks at the files that it names, before anything is rendered or trained.

DVC sees paths in params.yaml, not what lies there. This stage runs every time, in seconds, and writes what later stages depend on: the
scheme as it was read, and fingerprints of own labels and videos, of research sets and of own test clips.
"""

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from functools import partial
from hashlib import sha256
from pathlib import Path

from strrn.core.files import files_below, read_json, write_json
from strrn.core.landmarks import LandmarkScheme, load_scheme
from strrn.data.crops import CropParameters
from strrn.data.inputs import fingerprint
from strrn.data.sources.folder import folder_videos
from strrn.data.sources.labelled import LabelledFace
from strrn.data.sources.labels import LabelParameters, labelled_faces
from strrn.data.sources.own_labels import own_faces
from strrn.data.sources.videos import VideoParameters
from strrn.evaluation.clips import DATASETS, check_real_clips
from strrn.evaluation.report import ReportParameters
from strrn.evaluation.rounds import EvaluateParameters
from strrn.stages import logs
from strrn.stages.check import check_parameters
from strrn.stages.parameters import load_section, load_value
from strrn.stages.paths import INPUTS, RAW
from strrn.stages.rejected import listed

log = logging.getLogger(__name__)
Look = Callable[[], dict]  # at what a path of params.yaml leads to; its fingerprint


def main() -> None:
    check_parameters()
    scheme = load_scheme(load_value("scheme", str))
    labels, videos = load_section("labels", LabelParameters), load_section("videos", VideoParameters)
    folders = load_section("crop", CropParameters).folders
    test_clips = load_section("evaluate", EvaluateParameters).real_clips
    check_real_clips(RAW, test_clips, [Path(folder) for folder in folders])
    check_overlay(load_section("report", ReportParameters).overlay_clip, test_clips, videos)
    content = json.dumps(asdict(scheme)).encode()
    write_json(INPUTS / "scheme.json", {"name": scheme.name, "landmarks": scheme.num_landmarks, "sha256": sha256(content).hexdigest()})
    own_labels = {Path(path): partial(_look_at_labels, Path(path), scheme) for path in labels.own}
    own_videos = {Path(path): partial(_look_at_videos, Path(path)) for path in folders}
    record("labels.json", own_labels | _sets(labels.ibug_300w))
    record("videos.json", own_videos | _sets(videos.ibug_300vw, videos.youtube_faces, videos.youtube_celebrities))
    # Those below data/raw are another stage's.
    record("test_clips.json", {path: partial(_look_at_file, path) for path in map(Path, test_clips) if path.is_absolute()})
    check_labels(labels, scheme)


def record(name: str, looks: Mapping[Path, Look]) -> None:
    """Write {path: fingerprint} into the file of that name. Of a path that is not on this machine, as in a clone that has the pipeline's
    data but not what they were made of, the fingerprint that is known stays; without one, the source says what is missing."""
    file = INPUTS / name
    known = read_json(file) if file.is_file() else {}
    found = {}
    for path, look in looks.items():
        if path.exists() or str(path) not in known:
            found[str(path)] = look()
        else:
            log.warning("%s is not here; what was made of it stays as it is", path)
            found[str(path)] = known[str(path)]
        if str(path) in known and known[str(path)] != found[str(path)]:
            log.info("%s has changed", path)
    write_json(file, found)


def check_overlay(clip: str, test_clips: Iterable[str], videos: VideoParameters) -> None:
    """Raises ValueError where the clip of the report's overlay can be none that is tested on."""
    known = sorted(Path(name).stem for name in test_clips)
    others = clip.startswith(tuple(DATASETS.values())) or videos.ibug_300vw or videos.youtube_faces or videos.youtube_celebrities
    if clip not in known and not others:
        raise ValueError(f"params.yaml, report.overlay_clip: {clip!r} is none of evaluate.real_clips, which are {known}: name one of these")


def check_labels(labels: LabelParameters, scheme: LandmarkScheme) -> None:
    """The tables and names of all labels that are here, without the pictures. Raises as `labelled_faces` does."""
    own = [path for path in labels.own if Path(path).exists()]
    ibug_300w = labels.ibug_300w if labels.ibug_300w and Path(labels.ibug_300w).is_dir() else None
    if own or ibug_300w:
        # Annotated frames of clips are counted later; with them, a larger number may be rejected.
        allowed = 1.0 if labels.semi_share else labels.max_rejected
        with listed():
            faces, rejected = labelled_faces(replace(labels, own=own, ibug_300w=ibug_300w, semi_share=0.0, max_rejected=allowed), [], scheme)
        log.info("labels: %d faces, %d that cannot be used", len(faces), len(rejected))


def _look_at_labels(path: Path, scheme: LandmarkScheme) -> dict:
    faces = [face for face in own_faces(path, scheme, 0.0, 0.0) if isinstance(face, LabelledFace)]
    if path.is_dir():
        return fingerprint(files_below(path), path)
    return fingerprint([path, *dict.fromkeys(face.path for face in faces)], path.parent, whole=[path])


def _look_at_videos(folder: Path) -> dict:
    return fingerprint([path for _, path in folder_videos(folder)], folder)


def _look_at_file(path: Path) -> dict:
    return fingerprint([path], path.parent)


def _sets(*folders: str | None) -> dict[Path, Look]:
    return {Path(folder): partial(_look_at_set, Path(folder)) for folder in folders if folder}


def _look_at_set(folder: Path) -> dict:
    """Names and sizes only: research sets do not change, and one of them is half a million pictures."""
    if not folder.is_dir():
        raise FileNotFoundError(f"the folder {folder.absolute()} of params.yaml does not exist")
    return fingerprint(files_below(folder), folder, contents=False)


if __name__ == "__main__":
    logs.run(main)
