"""What the scripts' command lines share: errors in one line with a suggestion, and exit statuses."""

from __future__ import annotations

import argparse
import io
import logging
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from trainer.errors import InkwellError, UsageError, did_you_mean
from trainer.text import printable, program, shortened


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


class _ToStderr(logging.Handler):
    """Writes to whatever `sys.stderr` is at that moment, so that a progress display can make room."""

    def emit(self, record: logging.LogRecord) -> None:
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        print(f"{level}{printable(record.getMessage())}", file=sys.stderr)


def run_script(main: Callable[[], int]) -> NoReturn:
    """Run a script's `main` and exit with its status; errors that a user can cause are one line on stderr.

    Exit status: 0 done, 1 failed, 2 wrong usage or configuration, 130 and 143 stopped by Ctrl-C and SIGTERM.
    """
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
        print(f"{program()}: error: {printable(' '.join(str(error).splitlines()))}", file=sys.stderr)
        status = error.exit_status
    except MemoryError:
        print(f"{program()}: error: out of memory; use fewer or smaller images, or a smaller batch", file=sys.stderr)
        status = 1
    except KeyboardInterrupt:
        print(f"{program()}: stopped by Ctrl-C", file=sys.stderr)
        status = 130
    except BrokenPipeError:  # the reader of our output, such as `head`, has gone
        sys.stderr.close()
        status = 1
    sys.exit(status)
