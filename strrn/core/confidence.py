"""What a confidence says of an error."""

import numpy as np

from strrn.core.landmarks import CONFIDENCE_TOLERANCE


def expected_error(confidence: np.ndarray) -> np.ndarray:
    """Mean of the exponential distribution whose share below CONFIDENCE_TOLERANCE is the confidence, in units of d."""
    return -CONFIDENCE_TOLERANCE / np.log1p(-np.clip(confidence, 1e-4, 1 - 1e-6))
