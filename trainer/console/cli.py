"""Command lines of all scripts: errors in one line with a suggestion, and exit statuses."""

from __future__ import annotations

import argparse
import io
import logging
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from trainer.console import interrupt, output, stages, style
from trainer.console.leaving import leave, leave_threads
from trainer.console.starting import started
from trainer.errors import InkwellError, UsageError, did_you_mean
from trainer.text import program, shortened


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are `UsageError`s of one line, with a suggestion for an unknown flag."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(prog=program(), allow_abbrev=False, **kwargs)

    def error(self, message: str) -> NoReturn:
        """Raise what is wrong instead of printing the whole usage.

        Raises:
            UsageError: Always.
        """
        raise UsageError(f"{shortened(message)} (see --help)")

    def parse(self, arguments: Sequence[str] | None = None) -> argparse.Namespace:
        """Return the parsed arguments.

        Raises:
            UsageError: If a flag is unknown or a value does not fit.
        """
        started()
        known, unknown = self.parse_known_args(arguments)
        if unknown:
            flags = [flag for action in self._actions for flag in action.option_strings]
            flag = unknown[0].partition("=")[0]
            raise UsageError(f"unknown argument {flag!r}{did_you_mean(flag, flags)} (see --help)")
        return known

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            names = list(map(str, action.choices))
            message = f"no such choice {value!r}{did_you_mean(value, names)} (choices: {', '.join(names)})"
            raise argparse.ArgumentError(action, message)


COLOURS = {logging.WARNING: style.warning, logging.ERROR: style.error, logging.CRITICAL: style.error}


class _ToStderr(logging.Handler):
    """Handler that prints log records to the current `sys.stderr`, in the colour of their level."""

    def emit(self, record: logging.LogRecord) -> None:
        level = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        try:
            output.say(f"{level}{record.getMessage()}", COLOURS.get(record.levelno))
        except Exception:  # a record whose arguments do not fit its format
            self.handleError(record)


def run_script(main: Callable[[], int]) -> NoReturn:
    """Run a script's `main` and exit with its status; errors that a user can cause are one line on stderr.

    Exit status: 0 done, 1 failed, 2 wrong usage or configuration, 128 + n stopped by signal n (130 by Ctrl-C). A
    reader that has left, such as `head`, is no failure; output that cannot be stored is one.
    """
    output.guard_streams()
    interrupt.handle_ctrl_c(interrupt.EndInOrder())
    if not stages.is_shown():
        stages.show()
    logger = logging.getLogger("trainer")
    logger.addHandler(_ToStderr())
    logger.setLevel(logging.INFO)
    logger.propagate = False
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not so in some notebooks
            stream.reconfigure(errors="backslashreplace")  # what the encoding of a terminal has no character for
    try:
        status = main()
    except InkwellError as error:
        output.say_error(str(error))
        status = error.exit_status
    except MemoryError:
        output.say_error("out of memory; use fewer or smaller images, or a smaller batch")
        status = 1
    except KeyboardInterrupt as stopped:
        stages.hide()
        output.say(f"{program()}: {str(stopped) or 'stopped by Ctrl-C'}")
        leave_threads(interrupt.STATUS)
    finally:
        stages.hide()
    if (lost := output.loss()) and status == 0:
        output.say_error(f"cannot write to stdout: {lost}; send the output elsewhere and run it again")
        status = 1
    leave(status)
