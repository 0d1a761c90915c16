"""Logging of a stage run: one line an event on stderr, errors of bad input without a traceback."""

import logging
import sys
from collections.abc import Callable

import yaml
from omegaconf.errors import OmegaConfBaseException

from strrn.stages.parameters import PARAMS_FILE, load_value

LOG_FORMAT = "%(asctime)s %(name)s: %(message)s"
# Libraries whose information, several hundred lines of it, tells the user nothing.
VERBOSE_LIBRARIES = ("onnx_ir", "onnxscript", "torch.onnx")


def set_up(level: int = logging.INFO) -> None:
    """What a stage's process logs, from `level` on, goes to stderr."""
    logging.basicConfig(level=level, format=LOG_FORMAT, datefmt="%H:%M:%S", stream=sys.stderr)
    for name in VERBOSE_LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)


def run(main: Callable[[], None], level: int = logging.INFO) -> None:
    """Run a stage's main function. Bad input (ValueError, OSError, a damaged YAML file) and a loss that is not finite end with a message
    and exit status 1."""
    set_up(level)
    try:
        main()
    except (yaml.YAMLError, OmegaConfBaseException) as error:
        logging.getLogger(__name__).debug("failed", exc_info=True)
        sys.exit(f"error: {_of_yaml(error)}")
    except (ValueError, OSError, FloatingPointError) as error:
        logging.getLogger(__name__).debug("failed", exc_info=True)
        sys.exit(f"error: {error}")


def _of_yaml(error: yaml.YAMLError | OmegaConfBaseException) -> str:
    """One line with the file, the line in it and what is wrong there; of params.yaml that is YAML, but not understood, the key."""
    if isinstance(error, OmegaConfBaseException):
        return f"{PARAMS_FILE}, key {error.full_key!r}: {str(error).splitlines()[0]}"
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return " ".join(str(error).split())
    mark, start = error.problem_mark, error.context_mark
    context = f" ({error.context}, line {start.line + 1})" if error.context and start else ""
    file = _given_as_text() if mark.name.startswith("<") else mark.name
    return f"{file}, line {mark.line + 1}: {error.problem}{context}"


def _given_as_text() -> str:
    """The files that stages read before they parse them, so that PyYAML does not know their names: the scheme, a backbone's contract."""
    return f"the file of scheme {load_value('scheme', str)!r} in {PARAMS_FILE}, or the contract of refine.backbone"
