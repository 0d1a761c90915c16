"""Files are written to a temporary name and renamed: a killed process leaves nothing half-written."""

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from yaml import YAMLError


@contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """A temporary path beside `path` to write to; it replaces `path` when the block ends well and is removed when it does not."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays, because writers (video, images) choose their format by it.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path | str) -> Iterator[Path]:
    """An empty temporary folder beside `path`; it replaces `path` when the block ends well and is removed when it does not.

    What a killed process left of such folders is removed first.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in path.parent.glob(f".{path.name}.*.tmp"):
        shutil.rmtree(leftover)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.mkdir()
    try:
        yield temporary
        if path.is_symlink():
            path.unlink()
        elif path.exists():
            shutil.rmtree(path)
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def files_below(folder: Path, but: Path | None = None) -> list[Path]:
    """The files in the folder and below, sorted: without those that a dot hides, and those in `but`, if it lies below the folder. Links
    to folders are not followed. Raises OSError for a folder that cannot be read."""
    left_out = but.resolve() if but and folder.resolve() in but.resolve().parents else None
    found = []
    for parent, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, name) for name in names if not name.startswith(".")]
    return sorted(path for path in found if path.is_file() and left_out not in path.resolve().parents)


def _raise(error: OSError) -> NoReturn:
    raise error


def write_text(path: Path | str, text: str) -> None:
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path | str, content: object) -> None:
    """JSON with an indent and a final newline. NaN is refused (ValueError): write None for what is not known."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path | str) -> object:
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8: {error}") from error


def write_json_lines(path: Path | str, rows: Iterable[Mapping]) -> None:
    write_text(path, "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows))


def read_json_lines(path: Path | str) -> list[dict]:
    path = Path(path)
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}, line {number} is not JSON: {error}") from error
    return rows


def read_yaml(path: Path | str) -> object:
    """Raises ValueError naming the file and the line where it is not YAML."""
    import yaml  # not at import: `strrn track` has none to read

    try:
        return yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(yaml_problem(error, path)) from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8: {error}") from error


def yaml_problem(error: "YAMLError", path: Path | str) -> str:
    """One line with the file, the line in it and what is wrong there."""
    mark, start = getattr(error, "problem_mark", None), getattr(error, "context_mark", None)
    if mark is None:
        return f"{path}: {' '.join(str(error).split())}"
    context = f" ({error.context}, line {start.line + 1})" if error.context and start else ""
    return f"{path}, line {mark.line + 1}: {error.problem}{context}"
