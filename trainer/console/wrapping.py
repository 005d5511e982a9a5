"""Text that fits the terminal: lines break between words, and what continues an entry is indented below it."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Iterable, Sequence

from trainer.text import printable

GLUE = "\xa0"
"""Stands for a space at which no line ends, and is shown as one."""
WIDEST = 100
"""Characters of a line that the eye still follows, however wide the terminal is."""


def width() -> int:
    """Return the number of characters in a line: those of the terminal, at most `WIDEST`; 80 where there is none."""
    return min(shutil.get_terminal_size().columns, WIDEST)


def wrapped(text: str, indent: str = "", hanging: str | None = None) -> list[str]:
    """Return one paragraph as lines; a word that is longer than a line, such as a path or a command, stays whole.

    Args:
        text: The paragraph; its line breaks count as spaces, and it never breaks at `GLUE`.
        indent: Before the first line.
        hanging: Before all other lines (default: `indent`).
    """
    text = printable(re.sub(r"[ \t\r\n]+", " ", text).strip())
    later = indent if hanging is None else hanging
    lines = textwrap.wrap(
        text,
        width(),
        initial_indent=indent,
        subsequent_indent=later,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace(GLUE, " ") for line in lines] or [indent.rstrip()]


def listed(parts: Iterable[str]) -> str:
    """Return parts in one text with commas between, which are the only places to break it."""
    return ", ".join(part.replace(" ", GLUE) for part in parts)


def entries(rows: Iterable[tuple[str, str]], indent: str = "") -> list[str]:
    """Return labels and texts in two columns, as lines; a text of several lines stays in its column."""
    kept: Sequence[tuple[str, str]] = [(printable(label), text) for label, text in rows]
    column = max((len(label) for label, _ in kept), default=0) + 2
    hanging = indent + " " * column
    return [line for label, text in kept for line in wrapped_after(f"{indent}{label}", text, hanging)]


def wrapped_after(label: str, text: str, hanging: str) -> list[str]:
    """Return a text as lines that begin in the column where `hanging` ends, the first one after its label."""
    first, *rest = wrapped(text, hanging)
    return [f"{label:<{len(hanging)}}{first.removeprefix(hanging)}".rstrip(), *rest]
