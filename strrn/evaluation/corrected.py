"""A heatmap detector with its GHCU, as the tracking loop takes it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from strrn.evaluation.predict import torch_models
from strrn.models import checkpoint
from strrn.models.ghcu import build_corrected
from strrn.models.pixels import network_input
from strrn.runtime.loop import Models


def corrected_models(detector_file: Path, corrected_file: Path, tracker_file: Path) -> Models:
    """What the tracking loop is built from, the detector corrected: detector_file is that without a GHCU. Called in every worker process."""
    models = torch_models(detector_file, tracker_file)
    corrected, _ = checkpoint.load(corrected_file, build_corrected)

    def detect(crops: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        with torch.inference_mode():
            points, confidence = corrected(network_input(crops, corrected.stride // models.stride))
        return points.numpy(), confidence.numpy()

    return replace(models, detect=detect)
