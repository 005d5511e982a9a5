"""Words for people: numbers with their nouns, sizes, long texts in one line, commands in the form in use."""

from __future__ import annotations

import math
import re
import shlex
import sys
from pathlib import Path
from typing import Any

LONGEST = 80
"""Characters of `in_line`."""
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""What a terminal may take for a command."""


def count(number: int, thing: str) -> str:
    """Return a number of things, in the singular or the plural."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def in_bytes(size: int) -> str:
    """Return a size in decimal units, such as `1.2 MB`."""
    unit = max(0, min(4, int(math.log10(max(size, 1)) // 3)))
    return f"{size / 1000**unit:.{1 if unit else 0}f} {('bytes', 'kB', 'MB', 'GB', 'TB')[unit]}"


def in_line(value: Any) -> str:
    """Return a value that may hold anything as one line of bounded length."""
    text = " ".join(str(value).split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def printable(value: Any) -> str:
    """Return a value as text without control characters other than line breaks and tabs: visible escapes instead."""
    return CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", str(value))


def first_line(error: BaseException) -> str:
    """Return the first line of what an exception says, or the name of its class if it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def program() -> str:
    """Return the name under which this process was started: `fit.py`, or `inkwell fit`."""
    return Path(sys.argv[0]).name


def command_line() -> str:
    """Return the command that started this process, as a shell takes it."""
    started = program() if program().startswith("inkwell ") else shlex.quote(sys.argv[0])
    return " ".join([started, *map(shlex.quote, sys.argv[1:])])


def command(name: str) -> str:
    """Return how to start another program of Inkwell, in the form that the user has chosen.

    Args:
        name: The program, such as `mlflow_sync`.

    Returns:
        `python scripts/mlflow_sync.py` if this process is one of the scripts, else `inkwell mlflow-sync`.
    """
    own = Path(sys.argv[0])
    is_script = own.suffix == ".py" and own.absolute().parent.name == "scripts"
    return f"python scripts/{name}.py" if is_script else f"inkwell {name.replace('_', '-')}"
