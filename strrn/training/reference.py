"""The canonical crop that the crop stage calibrated: where an average face lies in it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from strrn.core.files import read_json
from strrn.core.landmarks import LandmarkScheme


@dataclass(frozen=True)
class Reference:
    """size: side of a crop in pixels; shape (L, 2): reference shape in crop pixels; face_template (5, 2): where the face detector's five
    points lie; distance: d of the reference shape in crop pixels."""

    size: int
    shape: np.ndarray
    face_template: np.ndarray
    distance: float


def load_reference(path: Path, scheme: LandmarkScheme) -> Reference:
    """data/crops/reference.json. Raises ValueError where it was made for another scheme."""
    content = read_json(path)
    if content["scheme"] != scheme.name:
        raise ValueError(f"{path} was made for scheme {content['scheme']!r}, params.yaml says {scheme.name!r}: run the crop stage again")
    shape = np.asarray(content["reference_shape"], np.float32)
    return Reference(int(content["size"]), shape, np.asarray(content["face_template"], np.float32), float(scheme.distance(shape)))
