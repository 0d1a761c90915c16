"""Arrays as nested tuples."""

import numpy as np


def plain(value: np.ndarray | float) -> tuple | float:
    """Floats and nested tuples of floats of an array or a number."""
    return tuple(plain(item) for item in value) if isinstance(value, np.ndarray | tuple) else float(value)
