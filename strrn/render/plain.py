"""Arrays as nested tuples."""

import numpy as np


def plain(value: np.ndarray | list | float) -> tuple | float:
    """Floats and nested tuples of floats of an array or a number."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return tuple([plain(item) for item in value]) if isinstance(value, list | tuple) else float(value)
