"""Rows as CSV that a spreadsheet may open: quoted as they must be, and no text is taken for a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from trainer.text import shown, unseen

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""How a text begins that a spreadsheet computes, in full width too; as OWASP advises, it gets a `'` in front."""
LAYOUT = "\r\t"
"""Characters that are not seen, and which CSV keeps within quotes, as it does the newline."""


def csv_line(values: Iterable[Any]) -> str:
    """Return a row of CSV, without a newline at its end; within quotes, a text may have some."""
    row = io.StringIO()
    csv.writer(row, lineterminator="\r\n").writerow(map(cell, values))  # quoted is what holds a part of that
    return row.getvalue().removesuffix("\r\n")


def csv_text(rows: Iterable[Sequence[Any]]) -> str:
    """Return rows of CSV, each ended by a newline."""
    return "".join(f"{csv_line(row)}\n" for row in rows)


def cell(value: Any) -> Any:
    """Return a value as a cell may hold it: numbers as they are, texts without what steers terminal or spreadsheet."""
    if not isinstance(value, str):
        return value
    text = unseen(value, lambda each: each if each in LAYOUT else shown(each))
    return f"'{text}" if text.startswith(FORMULA) and len(text) > 1 and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
