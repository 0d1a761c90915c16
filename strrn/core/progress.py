"""Progress of long work: a bar on a terminal, one log line a minute elsewhere."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

log = logging.getLogger(__name__)
Item = TypeVar("Item")
LINE_SECONDS = 60.0


def progress(items: Iterable[Item], what: str, total: int | None = None) -> Iterator[Item]:
    """Yield the items and show how far they are. total: their number, where `len(items)` does not tell."""
    if total is None:
        total = len(items) if hasattr(items, "__len__") else None
    if sys.stderr.isatty():
        from rich.progress import track

        yield from track(items, description=what, total=total, transient=False)
        return
    started = last = time.monotonic()
    count = 0
    for count, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - last >= LINE_SECONDS:
            last = now
            log.info("%s: %d%s, %.1f/s", what, count, f" of {total}" if total else "", count / (now - started))
    log.info("%s: %d done in %.0f s", what, count, time.monotonic() - started)
