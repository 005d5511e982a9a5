"""Text for users: numbers with nouns, sizes, untrusted values as one safe line, commands."""

from __future__ import annotations

import math
import shlex
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

LONGEST = 80
"""Maximum length of `in_line` in characters."""


def count(number: int, noun: str, plural: str = "") -> str:
    """Return a number with a noun in the singular or plural, such as `1 step` or `2,000 steps`.

    Args:
        number: The number.
        noun: The noun in the singular.
        plural: Its plural; default: with an s.
    """
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def in_bytes(size: int) -> str:
    """Return a size in decimal units, such as `1.2 MB`."""
    unit = max(0, min(4, int(math.log10(max(size, 1)) // 3)))
    return f"{size / 1000**unit:.{1 if unit else 0}f} {('bytes', 'kB', 'MB', 'GB', 'TB')[unit]}"


def printable(value: Any) -> str:
    r"""Return a value as one line that is safe to print on a terminal.

    Names of files, runs and classes are untrusted. Control characters, escape sequences, zero-width characters, those
    that change the writing direction, and bytes that are not UTF-8 are escaped, such as `\x1b` or `\u202e`.
    """
    text = str(value)
    return text if text.isprintable() else "".join(map(shown, text))


def printable_lines(text: str) -> str:
    """Return a text of several lines, each of them made `printable`."""
    return "\n".join(map(printable, text.split("\n")))


def unseen(text: str, spell: Callable[[str], str]) -> str:
    """Return a text in which a function replaces each invisible character except newlines.

    Args:
        text: Any text.
        spell: Maps an invisible character to its replacement.
    """
    if text.isprintable():
        return text
    return "".join(each if each == "\n" or _is_seen(each) else spell(each) for each in text)


def _is_seen(character: str) -> bool:
    return character.isprintable() or unicodedata.category(character) == "Zs"


def shown(character: str) -> str:
    """Return a character if it is visible, otherwise its escape sequence."""
    if _is_seen(character):
        return character
    if "\udc80" <= character <= "\udcff":  # a byte of a file name that is not UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return repr(character)[1:-1]


def in_line(value: Any) -> str:
    """Return any value as one printable line of at most `LONGEST` characters."""
    text = printable(" ".join(str(value).split()))
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def shortened(value: Any, length: int = 300) -> str:
    """Return a value as printable text; if it is too long, an ellipsis replaces the middle, since the end matters."""
    text = printable(value)
    if len(text) <= length:
        return text
    tail = (length - 1) // 2
    return f"{text[: length - 1 - tail]}…{text[-tail:]}"


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message, or the name of its class if the message is empty."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def program() -> str:
    """Return the name under which this process was started: `fit.py`, or `inkwell fit`."""
    return Path(sys.argv[0]).name


def command_line() -> str:
    """Return the command that started this process, quoted for a shell."""
    started = program() if program().startswith("inkwell ") else shlex.quote(sys.argv[0])
    return " ".join([started, *map(shlex.quote, sys.argv[1:])])


def command(name: str) -> str:
    """Return the command for another program of Inkwell, in the form used to start this process.

    Args:
        name: The program, such as `mlflow_sync`.

    Returns:
        `python scripts/mlflow_sync.py` if this process is one of the scripts, else `inkwell mlflow-sync`.
    """
    own = Path(sys.argv[0])
    is_script = own.suffix == ".py" and own.absolute().parent.name == "scripts"
    return f"python scripts/{name}.py" if is_script else f"inkwell {name.replace('_', '-')}"
