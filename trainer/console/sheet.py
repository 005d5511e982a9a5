"""Rows as CSV that is safe to open in a spreadsheet: quoted, and no text is taken for a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from trainer.text import shown, unseen

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""First characters of texts that a spreadsheet computes, also in full width; as OWASP advises, a `'` goes in front."""
LAYOUT = "\r\t"
"""Invisible characters that CSV keeps within quotes, as it does newlines."""


def csv_line(values: Iterable[Any]) -> str:
    """Return a row of CSV without a newline at its end; quoted texts may contain newlines."""
    row = io.StringIO()
    csv.writer(row, lineterminator="\r\n").writerow(map(cell, values))  # quoted is what holds a part of that
    return row.getvalue().removesuffix("\r\n")


def csv_text(rows: Iterable[Sequence[Any]]) -> str:
    """Return rows of CSV, each ending with a newline."""
    return "".join(f"{csv_line(row)}\n" for row in rows)


def cell(value: Any) -> Any:
    """Return a value as a cell may hold it: numbers unchanged, texts without terminal controls and formulas."""
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
