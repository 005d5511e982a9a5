"""The lines of `history.jsonl`, read in one way by everybody."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from trainer.bounds.plain import parse_json
from trainer.errors import InkwellError
from trainer.text import first_line


def whole_lines(content: bytes) -> list[bytes]:
    """Return the lines that end in a newline; the last line of a killed run may be half written, and is left out."""
    return [line for line in content.splitlines(keepends=True) if line.endswith(b"\n")]


def parse_lines(lines: Iterable[bytes], what: object) -> list[dict[str, Any]]:
    """Return whole lines as the tables that they hold.

    Args:
        lines: Lines of the file.
        what: The file, for the message.

    Raises:
        InkwellError: If a line is no JSON table.
    """
    try:
        values = [parse_json(line) for line in lines]
    except ValueError as error:
        raise InkwellError(f"{what} is damaged: {first_line(error)}") from error
    if not all(isinstance(value, dict) for value in values):
        raise InkwellError(f"{what} is damaged: a line holds no table")
    return values
