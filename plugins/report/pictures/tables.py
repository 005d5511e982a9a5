"""Tables of the report as CSV: written beside the pictures, read again by the page and the model card."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainer.files import write_atomic


def write_table(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write rows as CSV, one column per name in the order of first occurrence; a value that a row lacks stays empty."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)))
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(path, text.getvalue())


def read_table(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a table that `write_table` wrote: numbers as floats, empty fields as None."""
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: _value(text) for name, text in row.items()} for row in csv.DictReader(file)]


def _value(text: str | None) -> Any:
    if text in ("True", "False", "", None):
        return {"True": True, "False": False}.get(text or "")
    try:
        return float(text) if text else None
    except ValueError:
        return text
