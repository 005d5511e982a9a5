"""The lines of `history.jsonl`, parsed and checked in one place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trainer.bounds.plain import parse_json
from trainer.errors import InkwellError
from trainer.text import first_line, in_line

MAX_LINES = 1_000_000
"""Largest number of lines of a history, each of which becomes a table in memory."""


def whole_lines(content: bytes) -> list[bytes]:
    """Return the lines that end in a newline, without the incomplete last line that a killed run may leave."""
    return [line for line in content.splitlines(keepends=True) if line.endswith(b"\n")]


def parse_lines(lines: Sequence[bytes], what: object) -> list[dict[str, Any]]:
    """Return the tables in complete lines.

    Args:
        lines: Lines of the file, at most `MAX_LINES`.
        what: Name of the file in messages.

    Raises:
        InkwellError: If a line is not a JSON table or has an invalid value, or there are too many lines.
    """
    if len(lines) > MAX_LINES:
        raise InkwellError(f"{what} is damaged: it has more than {MAX_LINES:,} lines")
    try:
        values = [parse_json(line) for line in lines]
        for value in values:
            _check(value)
    except ValueError as error:
        raise InkwellError(f"{what} is damaged: {first_line(error)}") from error
    return values


def _check(line: Any) -> None:
    """Refuse a line that no run writes.

    Raises:
        ValueError: If it is such a line.
    """
    if not isinstance(line, dict):
        raise ValueError("a line is not a table")
    for name, (kind, limit) in {"step": (int, 2**53), "epoch": (int, 2**53), "time": (int | float, 10**11)}.items():
        value = line.get(name, 0 if name == "epoch" else None)
        if isinstance(value, bool) or not isinstance(value, kind) or not 0 <= value <= limit:
            raise ValueError(f"a line has the invalid {name} {in_line(repr(value))}")
    kind = line.get("kind", "")
    if not isinstance(kind, str):
        raise ValueError("a line has a kind that is not text")
    for name, value in line.items():
        if name not in ("kind", "step", "epoch", "time") and kind != "recovery" and not _is_logged(value):
            raise ValueError(f"a line has the {in_line(name)} {in_line(repr(value))}, which is not a number")


def _is_logged(value: Any) -> bool:
    """Return True if a value is a logged number; None stands for a non-finite one."""
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))
