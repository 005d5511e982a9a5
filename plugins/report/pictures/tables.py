"""Tables of the report as CSV: written beside the pictures, read again by the page and the model card."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainer.bounds.regular import read_bounded
from trainer.console.sheet import csv_text
from trainer.errors import InkwellError
from trainer.files import write_atomic
from trainer.text import first_line

MAX_TABLE = 2**20
"""Bytes of a table that is read."""


def write_table(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write rows as CSV, one column per name in the order of first occurrence; a value that a row lacks stays empty."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    write_atomic(path, csv_text([names, *([row.get(name) for name in names] for row in rows)]))


def read_table(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a table that `write_table` wrote: numbers as floats, empty fields as None.

    Raises:
        InkwellError: If it cannot be read, has more than 1 MiB, or is none.
    """
    try:
        lines = read_bounded(path, MAX_TABLE).decode().splitlines(keepends=True)
        return [{name: _value(text) for name, text in row.items()} for row in csv.DictReader(lines, strict=True)]
    except (OSError, ValueError, csv.Error) as error:
        hint = "delete it, and make the report again"
        raise InkwellError(f"cannot read {path}: {first_line(error)}; {hint}") from error


def _value(text: str | None) -> Any:
    if text in ("True", "False", "", None):
        return {"True": True, "False": False}.get(text or "")
    try:
        return float(text) if text else None
    except ValueError:
        return text
