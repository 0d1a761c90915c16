"""COCO keypoints (cocodataset.org/#format-data), as CVAT and other annotation tools write them: labels of many pictures in a JSON file."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from strrn.core.files import read_json
from strrn.core.landmarks import LandmarkScheme
from strrn.data.sources.labelled import LabelError
from strrn.data.sources.pts import of_scheme, point_counts

FIELDS = ("images", "annotations", "categories")


def coco_annotations(path: Path, scheme: LandmarkScheme) -> Iterator[tuple[str, Path, Mapping, list[int]]]:
    """The name of the picture, where it is, the annotation, and which of its keypoints the landmarks are, of all that have keypoints.

    Keypoints whose names are those of the scheme may stand in any order; with other names, as many must be in the scheme's.
    Raises ValueError for a file that is not COCO's.
    """
    content = read_json(path)
    if not isinstance(content, Mapping) or not all(isinstance(content.get(field), list) for field in FIELDS):
        raise ValueError(f"{path} does not hold COCO keypoints: expected an object with the lists {', '.join(FIELDS)}")
    try:
        names = {image["id"]: str(image["file_name"]) for image in content["images"]}
        orders = {category["id"]: _order(category.get("keypoints") or [], scheme) for category in content["categories"]}
        for annotation in content["annotations"]:
            image, category = annotation["image_id"], annotation["category_id"]
            if image not in names or category not in orders:
                raise ValueError(f"{path}: annotation {annotation.get('id')} is of image {image} and category {category}: one is not listed")
            if annotation.get("keypoints"):
                yield names[image], _image(path.parent, names[image]), annotation, orders[category]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} does not hold COCO keypoints as it should: {type(error).__name__} {error}") from error


def coco_points(annotation: Mapping, order: list[int], scheme: LandmarkScheme, where: str) -> np.ndarray:
    """(L, 2) float32, NaN where unlabelled (v = 0). Raises LabelError for another number of keypoints, or what is not a number."""
    try:
        values = np.array(annotation["keypoints"], np.float64).reshape(-1, 3)
    except (ValueError, TypeError) as error:
        raise LabelError("damaged labels", f"{where}: {error}") from error
    if len(values) not in point_counts(scheme):
        shown = " or ".join(map(str, point_counts(scheme)))
        raise LabelError("wrong point count", f"{where} has {len(values)} keypoints, expected {shown}")
    points = np.where(values[:, 2:] > 0, values[:, :2], np.nan).astype(np.float32)
    return of_scheme(points[order] if len(points) == len(order) else points, scheme)


def _order(names: list[str], scheme: LandmarkScheme) -> list[int]:
    by_name = set(names) == set(scheme.names) and len(names) == scheme.num_landmarks
    return [names.index(name) for name in scheme.names] if by_name else list(range(scheme.num_landmarks))


def _image(folder: Path, name: str) -> Path:
    """Beside the file, in `images` there, or there one folder up: annotations/….json stands beside images/."""
    places = [folder / name, folder / "images" / name, folder.parent / "images" / name, folder.parent / name]
    return next((place for place in places if place.is_file()), places[0])
