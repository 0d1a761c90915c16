"""Scores of a detector on labelled still crops, as they are and with something in front."""

from collections.abc import Sequence

import numpy as np
from torch import nn

from strrn.core import metrics
from strrn.core.images import decode_image, encode_jpeg
from strrn.core.landmarks import LandmarkScheme
from strrn.data.datasets import LabelledCrops
from strrn.data.hidden import box_about, hide, random_box, within
from strrn.data.unlabelled import Frame
from strrn.training.self_training import answers

MOUTH = "mouth"
JPEG_QUALITY = 95


def found_in(model: nn.Module, images: Sequence[bytes]) -> np.ndarray:
    """points_crop (N, L, 2) that the detector finds in encoded crops."""
    return answers(model, [Frame(image) for image in images])[0]


def still_scores(model: nn.Module, crops: LabelledCrops, scheme: LandmarkScheme) -> dict[str, float]:
    """Mean over the crops of `nme_<normaliser>` for each normaliser of the scheme."""
    points = found_in(model, crops.images)
    return {
        f"nme_{name}": metrics.mean_over_frames([metrics.nme(points, crops.points, scheme.distance(crops.points, name), crops.valid)])
        for name in scheme.normalisers
    }


def hidden_scores(model: nn.Module, crops: LabelledCrops, scheme: LandmarkScheme, seed: int) -> dict[str, float]:
    """`nme_<method normaliser>` of those landmarks alone that are hidden by a box: `random_box_…` in each crop, and, where the scheme has
    a mouth, `mouth_…` about all of it. A crop in whose box no labelled landmark lies is left out."""
    scores = {}
    for kind in ["random_box", *([MOUTH] if MOUTH in scheme.components else [])]:
        images, hidden = [], np.zeros(crops.valid.shape, bool)
        for row, (encoded, points) in enumerate(zip(crops.images, crops.points, strict=True)):
            random, image = np.random.default_rng((seed, row)), decode_image(encoded)
            size = len(image)
            box = box_about(points[list(scheme.components[MOUTH])], size) if kind == MOUTH else random_box(points, size, random)
            hidden[row] = within(points, box) & crops.valid[row]
            images.append(encode_jpeg(hide(image, box, random), JPEG_QUALITY))
        points = found_in(model, images)
        errors = metrics.nme(points, crops.points, scheme.distance(crops.points), hidden)
        scores[f"{kind}_nme_{scheme.method_normaliser}"] = metrics.mean_over_frames([errors])
    return scores
