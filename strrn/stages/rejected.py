"""Where labels are listed that were too many to go on without."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from strrn.core.files import write_json_lines
from strrn.data.sources.labels import TooManyRejectedError

REJECTED_LABELS = Path("data/rejected_labels.jsonl")


@contextmanager
def listed() -> Iterator[None]:
    """Where the block ends with TooManyRejectedError, all rows are in `REJECTED_LABELS`, and the message says so; else there is no such
    file afterwards."""
    REJECTED_LABELS.unlink(missing_ok=True)
    try:
        yield
    except TooManyRejectedError as error:
        write_json_lines(REJECTED_LABELS, error.rows)
        raise ValueError(f"{error}. All of them: {REJECTED_LABELS}") from error
