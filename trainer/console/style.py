"""Bold, dim, coloured and linked text, where a terminal can show it; everywhere else the text as it is.

Escape sequences are added last: text that comes from outside goes through `trainer.text.printable` before.
"""

from __future__ import annotations

import os
import sys
from typing import TextIO
from urllib.parse import quote


def bold(text: str, stream: TextIO | None = None) -> str:
    """Return text in bold, for a headline.

    Args:
        text: One line without control characters.
        stream: The stream that the text will be written to (default: `sys.stdout`).
    """
    return _styled(text, "1", stream)


def dim(text: str, stream: TextIO | None = None) -> str:
    """Return text that stands back, for what few readers need; see `bold`."""
    return _styled(text, "2", stream)


def warning(text: str, stream: TextIO | None = None) -> str:
    """Return text in the colour of a warning, yellow; see `bold`."""
    return _styled(text, "33", stream)


def error(text: str, stream: TextIO | None = None) -> str:
    """Return text in the colour of an error, bold red; see `bold`."""
    return _styled(text, "1;31", stream)


def good(text: str, stream: TextIO | None = None) -> str:
    """Return text in the colour of progress, green; see `bold`."""
    return _styled(text, "32", stream)


def link(text: str, target: str, stream: TextIO | None = None) -> str:
    """Return text that a click opens, in a terminal that knows hyperlinks (OSC 8); others show the text alone.

    Args:
        text: One line without control characters.
        target: Address, such as `file:///home/me/report.html`.
        stream: The stream that the text will be written to (default: `sys.stdout`).
    """
    if not is_terminal(stream):
        return text
    return f"\x1b]8;;{quote(target, safe=SAFE)}\x1b\\{text}\x1b]8;;\x1b\\"


SAFE = "%/:?#[]@!$&'()*+,;=-._~"
"""Characters that have a meaning in an address; all others are encoded, those that would end the sequence above all."""


def is_terminal(stream: TextIO | None = None) -> bool:
    """Return True if a stream (default: `sys.stdout`) leads to a terminal that understands escape sequences."""
    stream = sys.stdout if stream is None else stream
    try:
        return stream.isatty() and os.environ.get("TERM") != "dumb"
    except (AttributeError, ValueError):  # no stream, not a file, or closed
        return False


def has_colour(stream: TextIO | None = None) -> bool:
    """Return True if a stream (default: `sys.stdout`) leads to a terminal, and the user wants colours (`NO_COLOR`)."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR")


def _styled(text: str, code: str, stream: TextIO | None) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if text and has_colour(stream) else text
