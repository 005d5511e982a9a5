"""Tables of the report as CSV, beside the pictures; `trainer.runs.reported` reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainer.console.sheet import csv_text
from trainer.files import write_atomic


def write_table(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write rows as CSV, one column per name in the order of first occurrence; a value that a row lacks stays empty."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    write_atomic(path, csv_text([names, *([row.get(name) for name in names] for row in rows)]))
