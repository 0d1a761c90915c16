"""Labels as annotation tools export them."""

import json

import cv2
import numpy as np
import pytest

from strrn.core.landmarks import LandmarkScheme
from strrn.data.sources.labelled import LabelledFace
from strrn.data.sources.own_labels import own_faces

SCHEME = LandmarkScheme("two eyes", ("left", "right", "nose"), (1, 0, 2), {"all": (0, 1, 2)}, (), 2, {"d": ((0,), (1,))}, {})


def write(folder, annotations, names=("left", "right", "nose"), images="", file="faces.json"):
    """One picture a.png with these annotations."""
    (folder / images).mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / images / "a.png"), np.zeros((20, 20, 3), np.uint8))
    (folder / file).parent.mkdir(exist_ok=True)
    content = {
        "images": [{"id": 7, "file_name": "a.png", "width": 20, "height": 20}, {"id": 8, "file_name": "gone.png"}],
        "annotations": [{"id": number, "image_id": 7, "category_id": 3} | values for number, values in enumerate(annotations)],
        "categories": [{"id": 3, "name": "face", "keypoints": list(names)}],
    }
    (folder / file).write_text(json.dumps(content))
    return folder / file


def test_keypoints_are_landmarks_by_name_and_unlabelled_ones_are_unknown(tmp_path):
    keypoints = [9, 8, 2, 0, 0, 0, 1.5, 2, 1]  # nose, right (not labelled), left (covered)
    file = write(tmp_path, [{"keypoints": keypoints}, {"keypoints": keypoints}, {"bbox": [1, 2, 3, 4]}], ("nose", "right", "left"))
    faces = own_faces(file, SCHEME, 0.1, 0.1)
    assert [face.image_id for face in faces] == ["faces/a.png", "faces/a.png#1"] and faces[0].split == faces[1].split
    np.testing.assert_array_equal(faces[0].points_frame, np.float32([[1.5, 2], [np.nan, np.nan], [9, 8]]))
    assert faces[0].path == tmp_path / "a.png"


def test_other_names_stand_in_the_order_of_the_scheme(tmp_path):
    (face,) = own_faces(write(tmp_path, [{"keypoints": [1, 2, 2, 3, 4, 2, 5, 6, 2]}], ("1", "2", "3")), SCHEME, 0.1, 0.1)
    assert face.points_frame.tolist() == [[1, 2], [3, 4], [5, 6]]


def test_names_that_are_nearly_those_of_the_scheme(tmp_path):
    (face,) = own_faces(write(tmp_path, [{"keypoints": [9, 8, 2, 3, 4, 2, 5, 6, 2]}], ("Nose ", "RIGHT", "left")), SCHEME, 0.1, 0.1)
    assert face.points_frame.tolist() == [[5, 6], [3, 4], [9, 8]]
    file = write(tmp_path, [{"keypoints": [9, 8, 2, 3, 4, 2, 5, 6, 2]}], ("right", "left", "tip"))
    with pytest.raises(ValueError, match=r"names of scheme 'two eyes' \(left, right\), others have not \(tip\); nose are missing"):
        own_faces(file, SCHEME, 0.1, 0.1)


def test_annotations_beside_the_images(tmp_path):
    file = write(tmp_path, [{"keypoints": [1, 2, 2, 3, 4, 2, 5, 6, 2]}], images="images", file="annotations/person_keypoints_default.json")
    (face,) = own_faces(file, SCHEME, 0.1, 0.1)
    assert face.path.samefile(tmp_path / "images/a.png")


def test_what_cannot_be_used_is_rejected_with_the_reason(tmp_path):
    good = [1, 2, 2, 3, 4, 2, 5, 6, 2]
    found = own_faces(
        write(tmp_path, [{"keypoints": good[:6]}, {"keypoints": good[:4]}, {"image_id": 8, "keypoints": good}, {"keypoints": ["x"] * 9}]),
        SCHEME,
        0.1,
        0.1,
    )
    assert not any(isinstance(face, LabelledFace) for face in found)
    assert [row["reason"] for row in found] == ["wrong point count", "damaged labels", "missing image", "damaged labels"]
    assert "faces.json, annotation 0 has 2 keypoints, expected 3" in found[0]["detail"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "does not hold COCO keypoints: expected an object with the lists images, annotations, categories"),
        ('{"images": [], "annotations": {}, "categories": []}', "does not hold COCO keypoints"),
        ('{"images": [], "annotations": [{"id": 5, "image_id": 1, "category_id": 2}], "categories": []}', "annotation 5 is of image 1 and"),
        ('{"images": [{"id": 1}], "annotations": [], "categories": []}', "as it should: KeyError 'file_name'"),
        ("{", "is not JSON"),
    ],
)
def test_what_is_not_coco(tmp_path, content, message):
    (tmp_path / "faces.json").write_text(content)
    with pytest.raises(ValueError, match=f"faces.json.* {message}"):
        own_faces(tmp_path / "faces.json", SCHEME, 0.1, 0.1)
