"""The deployed tracker: onnxruntime sessions, the tracking loop, overlays and tables. Imports only `core`.

`from strrn.runtime import Tracker` is what a program uses; `FaceState` is what it gives. They are loaded when asked for: the stages of the
pipeline use single modules of this folder, and must not depend on all of them.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from strrn.runtime.loop import FaceState, State
    from strrn.runtime.tracker import RunningMode, Tracker

__all__ = ["FaceState", "RunningMode", "State", "Tracker"]
PUBLIC = {"FaceState": "loop", "State": "loop", "RunningMode": "tracker", "Tracker": "tracker"}


def __getattr__(name: str) -> object:
    if name not in PUBLIC:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(import_module(f"{__name__}.{PUBLIC[name]}"), name)
