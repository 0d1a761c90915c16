import time
from functools import partial
from pathlib import Path

import pytest

from strrn.stages.distil import side_by_side


def meet(folder: Path, role: str) -> None:
    """Ends only when the other one has begun."""
    (folder / role).touch()
    other = folder / ("tracker" if role == "detector" else "detector")
    deadline = time.monotonic() + 30
    while not other.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{other} never began")
        time.sleep(0.01)


def detector_fails(folder: Path, role: str) -> None:
    if role == "detector":
        raise ValueError("stills_train.parquet holds no crops")
    time.sleep(60)
    (folder / "tracker ended").touch()


def test_both_run_at_the_same_time(tmp_path):
    side_by_side(partial(meet, tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["detector", "tracker"]


def test_an_error_of_one_is_raised_and_ends_the_other(tmp_path):
    started = time.monotonic()
    with pytest.raises(ValueError, match="holds no crops"):
        side_by_side(partial(detector_fails, tmp_path))
    assert time.monotonic() - started < 50
    assert not (tmp_path / "tracker ended").exists()
