"""Compiled functions that inline others from other files.

Numba's cache compares the date of the function's own file only and would go on with what it once inlined. Here the cache lies in a folder
that is named after the contents of the inlined modules, so that an edit of any of them compiles anew.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from numba import config, njit

CACHE = Path(__file__).parent / "__pycache__"


def njit_inlining(*modules: ModuleType) -> Callable[[Callable], Callable]:
    """numba.njit with a cache that knows the modules whose functions and constants are inlined."""

    def decorate(function: Callable) -> Callable:
        contents = b"".join(Path(module.__file__).read_bytes() for module in modules)
        compiled = njit(fastmath=True, nogil=True, error_model="numpy")(function)
        before = config.CACHE_DIR
        config.CACHE_DIR = str(CACHE / f"inlined-{hashlib.sha256(contents).hexdigest()[:16]}")
        try:
            compiled.enable_caching()
        finally:
            config.CACHE_DIR = before
        return compiled

    return decorate
