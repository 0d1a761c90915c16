"""Small networks for tests: the real classes at sizes that build in milliseconds."""

import numpy as np

from strrn.core.landmarks import load_scheme, scheme_to_dict
from strrn.models import checkpoint

SIZE = 64
PATCHES = {"sizes": [16, 8], "samples": 8, "block": 4, "channels": [4, 4], "feature_size": 4, "contrast_floor": 0.02}
PARAMETERS = {
    "mdm": {"hidden_size": 16, "patches": PATCHES},
    "hgn": {"input_size": 32, "num_stacks": 2, "channels": 8, "depth": 2, "sigma": 1.5},
    "strrn": {
        "hidden_size": 16,
        "geometry": "signed_log",
        "geometry_feature_size": 4,
        "shape_prior": True,
        "appearance_memory": False,
        "patches": PATCHES,
    },
}


def reference_shape() -> np.ndarray:
    """(68, 2): a plausible upright face in a crop of SIZE pixels, symmetric about its middle column."""
    scheme = load_scheme("ibug68")
    random = np.random.default_rng(0)
    shape = random.uniform(14, 50, (68, 2))
    shape[36:42] += (20 - shape[36:42].mean(0)[0], 0)
    mirrored = shape[list(scheme.mirror)] * (-1, 1) + (SIZE - 1, 0)
    return ((shape + mirrored) / 2).astype(np.float32)


def header(architecture: str, **changes: object) -> dict:
    return {
        "architecture": architecture,
        "parameters": {**PARAMETERS[architecture], **changes},
        "scheme": scheme_to_dict(load_scheme("ibug68")),
        "reference_shape": reference_shape().tolist(),
        "face_template": [[0.0, 0.0]] * 5,
        "size": SIZE,
        "round": "r0",
        "data_hashes": {},
    }


def build(architecture: str, **changes: object):
    import torch

    torch.manual_seed(0)
    return checkpoint.build(header(architecture, **changes))
