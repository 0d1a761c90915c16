"""Logging of a stage run: one line an event on stderr, errors of bad input without a traceback."""

import logging
import sys
from collections.abc import Callable

import yaml
from omegaconf.errors import OmegaConfBaseException

from strrn.core.files import yaml_problem
from strrn.stages.parameters import PARAMS_FILE

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
    except KeyboardInterrupt:
        sys.exit("stopped; the next run begins this stage anew, or goes on where it left a snapshot")
    except OmegaConfBaseException as error:  # params.yaml is YAML, but not understood
        logging.getLogger(__name__).debug("failed", exc_info=True)
        sys.exit(f"error: {PARAMS_FILE}, key {error.full_key!r}: {str(error).splitlines()[0]}")
    except yaml.YAMLError as error:
        logging.getLogger(__name__).debug("failed", exc_info=True)
        sys.exit(f"error: {yaml_problem(error, PARAMS_FILE)}")
    except (ValueError, OSError, FloatingPointError) as error:
        logging.getLogger(__name__).debug("failed", exc_info=True)
        sys.exit(f"error: {error}")
