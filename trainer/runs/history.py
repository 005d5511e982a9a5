"""The lines of `history.jsonl`, read in one way by everybody."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trainer.bounds.plain import parse_json
from trainer.errors import InkwellError
from trainer.text import first_line

MAX_LINES = 1_000_000
"""Lines of a history, each of which becomes a table in memory."""


def whole_lines(content: bytes) -> list[bytes]:
    """Return the lines that end in a newline; the last line of a killed run may be half written, and is left out."""
    return [line for line in content.splitlines(keepends=True) if line.endswith(b"\n")]


def parse_lines(lines: Sequence[bytes], what: object) -> list[dict[str, Any]]:
    """Return whole lines, at most `MAX_LINES`, as the tables that they hold.

    Args:
        lines: Lines of the file.
        what: The file, for the message.

    Raises:
        InkwellError: If a line is no JSON table, or there are too many.
    """
    if len(lines) > MAX_LINES:
        raise InkwellError(f"{what} is damaged: it has more than {MAX_LINES:,} lines")
    try:
        values = [parse_json(line) for line in lines]
    except ValueError as error:
        raise InkwellError(f"{what} is damaged: {first_line(error)}") from error
    if not all(isinstance(value, dict) for value in values):
        raise InkwellError(f"{what} is damaged: a line holds no table")
    return values
