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
    Raises ValueError for a file that is not COCO's, and where only some of the names are the scheme's.
    """
    content = read_json(path)
    if not isinstance(content, Mapping) or not all(isinstance(content.get(field), list) for field in FIELDS):
        raise ValueError(f"{path} does not hold COCO keypoints: expected an object with the lists {', '.join(FIELDS)}")
    try:
        names = {image["id"]: str(image["file_name"]) for image in content["images"]}
        orders = {category["id"]: _order(path, category.get("keypoints") or [], scheme) for category in content["categories"]}
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


def _order(path: Path, names: list[str], scheme: LandmarkScheme) -> list[int]:
    plain, wanted = ([name.strip().casefold() for name in many] for many in (names, scheme.names))
    if set(plain) == set(wanted) and len(plain) == len(wanted):
        return [plain.index(name) for name in wanted]
    common = sorted(set(plain) & set(wanted))
    if common and len(plain) == len(wanted):
        other, lacking = (", ".join(sorted(set(one) - set(another))[:3]) for one, another in ((plain, wanted), (wanted, plain)))
        raise ValueError(
            f"{path}: some keypoints have names of scheme {scheme.name!r} ({', '.join(common[:3])}), others have not ({other}); {lacking} "
            "are missing. Name all of them as the scheme does, or all otherwise, in the scheme's order"
        )
    return list(range(scheme.num_landmarks))


def _image(folder: Path, name: str) -> Path:
    """Beside the file, in `images` there, or there one folder up: annotations/….json stands beside images/."""
    places = [folder / name, folder / "images" / name, folder.parent / "images" / name, folder.parent / name]
    return next((place for place in places if place.is_file()), places[0])
