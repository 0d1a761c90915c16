import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from strrn.core.landmarks import load_scheme
from strrn.core.model_files import PACKAGE_MODELS, TRACKER_FILE
from strrn.runtime.landmark_map import AWAY, landmark_map, write_landmark_map
from strrn.runtime.models import open_model

SVG = "{http://www.w3.org/2000/svg}"
SHAPE = np.array(open_model(PACKAGE_MODELS / TRACKER_FILE)[1].reference_shape)


def places(picture: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """(L, 2) of the dots, (L, 2) of the numbers, and what a pointer on them shows."""
    root = ElementTree.fromstring(picture)
    found = [group for group in root.iter(f"{SVG}g") if group.find(f"{SVG}title") is not None]
    dots = [[float(group.find(f"{SVG}circle").get(key)) for key in ("cx", "cy")] for group in found]
    numbers = [[float(group.find(f"{SVG}text").get(key)) for key in "xy"] for group in found]
    assert [group.find(f"{SVG}text").text for group in found] == [str(number) for number in range(len(found))]
    return np.array(dots), np.array(numbers), [group.find(f"{SVG}title").text for group in found]


def test_every_landmark_has_its_place_its_number_and_its_name() -> None:
    scheme = load_scheme("ibug68")
    dots, numbers, names = places(landmark_map(scheme, SHAPE))
    assert names == [f"{number} {name}" for number, name in enumerate(scheme.names)]
    scale = np.ptp(dots, 0) / np.ptp(SHAPE, 0)
    assert scale[0] == pytest.approx(scale[1], rel=1e-3)
    np.testing.assert_allclose(dots - dots.min(0), (SHAPE - SHAPE.min(0)) * scale, atol=0.2)
    # No number lies on another number, or on another landmark.
    for others in (dots, numbers):
        distance = np.linalg.norm(numbers[:, None] - others, axis=-1)
        np.fill_diagonal(distance, np.inf)
        assert distance.min() > 0.6 * AWAY


def test_names_are_text_and_no_markup() -> None:
    scheme = load_scheme("ibug68")
    odd = type(scheme)(**{**vars(scheme), "name": "odd", "names": ("<b>&", *scheme.names[1:])})
    assert places(landmark_map(odd, SHAPE))[2][0] == "0 <b>&"


def test_the_file(tmp_path: Path) -> None:
    scheme, file = load_scheme("ibug68"), tmp_path / "landmarks.svg"
    write_landmark_map(file, scheme, SHAPE)
    with pytest.raises(FileExistsError, match=re.escape(f"{file} is there already: give --overwrite")):
        write_landmark_map(file, scheme, SHAPE)
    write_landmark_map(file, scheme, SHAPE, overwrite=True)
    with pytest.raises(ValueError, match=r"must end in \.svg"):
        write_landmark_map(tmp_path / "landmarks.png", scheme, SHAPE)


def test_the_picture_of_the_docs_is_the_package_models_own() -> None:
    """Made by `strrn info strrn/runtime/weights/tracker.onnx --picture docs/images/landmarks.svg`."""
    file = Path(__file__).parents[2] / "docs/images/landmarks.svg"
    assert file.read_text(encoding="utf-8") == landmark_map(load_scheme("ibug68"), SHAPE)
