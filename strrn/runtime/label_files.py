"""Landmarks of photographs to files of labels: what params.yaml, labels.own reads, and annotation tools."""

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np

from strrn.core.files import atomic, write_json
from strrn.core.geometry import bounding_box
from strrn.core.landmarks import LandmarkScheme
from strrn.runtime.loop import FaceState

WritePicture = Callable[[str, np.ndarray, Sequence[FaceState]], None]


@contextmanager
def csv_rows(path: Path) -> Iterator[Callable[[Sequence], object]]:
    """The function that writes a row of a CSV file, which appears under its name when the context ends well."""
    with atomic(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        yield csv.writer(file).writerow


@contextmanager
def _csv(path: Path, scheme: LandmarkScheme) -> Iterator[WritePicture]:
    """A row per face: image, x0, y0, x1, … in pixels of the picture, 0-based, and confidence0, ….."""
    numbers = range(scheme.num_landmarks)
    with csv_rows(path) as row:
        row(["image", *(f"{axis}{number}" for number in numbers for axis in "xy"), *(f"confidence{number}" for number in numbers)])

        def write(name: str, picture: np.ndarray, faces: Sequence[FaceState]) -> None:
            for face in faces:
                points, sure = face.points_frame.ravel().tolist(), face.confidence.tolist()
                row([name, *(f"{value:.2f}" for value in points), *(f"{value:.3f}" for value in sure)])

        yield write


@contextmanager
def _coco(path: Path, scheme: LandmarkScheme) -> Iterator[WritePicture]:
    """Keypoints as of cocodataset.org/#format-data, every point visible; `confidence` is a list beside them."""
    skeleton = [[first + 1, second + 1] for first, second in scheme.edges]  # there keypoints are counted from 1
    images: list[dict] = []
    annotations: list[dict] = []

    def write(name: str, picture: np.ndarray, faces: Sequence[FaceState]) -> None:
        images.append({"id": len(images) + 1, "file_name": name, "width": picture.shape[1], "height": picture.shape[0]})
        for face in faces:
            x0, y0, x1, y1 = bounding_box(face.points_frame).tolist()
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": len(images),
                    "category_id": 1,
                    "keypoints": [value for x, y in face.points_frame.tolist() for value in (round(x, 2), round(y, 2), 2)],
                    "num_keypoints": scheme.num_landmarks,
                    "bbox": [round(value, 2) for value in (x0, y0, x1 - x0, y1 - y0)],
                    "area": round((x1 - x0) * (y1 - y0), 2),
                    "iscrowd": 0,
                    "confidence": [round(value, 3) for value in face.confidence.tolist()],
                }
            )

    yield write
    category = {"id": 1, "name": "face", "supercategory": "face", "keypoints": list(scheme.names), "skeleton": skeleton}
    write_json(path, {"images": images, "annotations": annotations, "categories": [category]})


# By what --table calls them: the file's name, and the context that gives the function to write a picture's faces with.
LABEL_FILES: dict[str, tuple[str, Callable[[Path, LandmarkScheme], AbstractContextManager[WritePicture]]]] = {
    "csv": ("landmarks.csv", _csv),
    "coco": ("landmarks.json", _coco),
}
