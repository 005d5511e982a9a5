"""Records as a table for people, or as JSON lines or CSV for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from trainer.console.sheet import csv_text
from trainer.files import to_json_line
from trainer.text import printable

FORMATS = ("table", "jsonl", "csv")
STYLES = {
    **{"done": "green", "running": "cyan", "elsewhere": "cyan"},
    **{"interrupted": "yellow", "killed": "red", "no checkpoint": "red", "failed": "red", "no result": "red"},
}
HEADS = {"test_accuracy": "test", "val_accuracy": "val", "train_seconds": "time"}
NARROW = 100
LEFT_OUT = ("started",)
"""Columns that are left out in a terminal with fewer than `NARROW` characters."""


def listing(form: str, keys: Sequence[str], records: Sequence[Mapping[str, Any]], folded: Sequence[str]) -> str:
    """Return records as text.

    Args:
        form: `table`, `jsonl` or `csv`. A table fits the terminal and has colours there; elsewhere it is plain text
            with every value in full.
        keys: The columns.
        records: A value for each key; JSON lines also hold all other values.
        folded: Columns that may wrap to several lines in a narrow terminal.
    """
    if form == "jsonl":
        return "\n".join(to_json_line(dict(record)) for record in records)
    if form == "csv":
        return csv_text([keys, *([record.get(key) for key in keys] for record in records)]).removesuffix("\n")
    return _table(keys, records, folded)


def _table(keys: Sequence[str], records: Sequence[Mapping[str, Any]], folded: Sequence[str]) -> str:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if not console.is_terminal:
        console = Console(width=10_000)
    narrow = console.width < NARROW
    if narrow:
        keys = [key for key in keys if key not in LEFT_OUT]
    table = Table(box=None, pad_edge=False, padding=(0, 1 if narrow else 2, 0, 0), header_style="bold")
    for key in keys:
        justify: Literal["left", "right"] = "right" if key in HEADS else "left"
        head = Text(printable(HEADS.get(key, key)))
        table.add_column(head, justify=justify, no_wrap=key not in folded, overflow="fold")
    for record in records:
        table.add_row(*(Text(printable(shown(key, record[key])), STYLES.get(str(record[key]), "")) for key in keys))
    with console.capture() as capture:
        console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().rstrip().splitlines())


def shown(key: str, value: Any) -> str:
    """Return a value as text for people."""
    if value is None:
        return "-"
    if key.endswith("_accuracy"):
        return f"{100 * value:.2f} %"
    if key == "train_seconds":
        if value < 60:
            return f"{value:.1f} s"
        minutes, seconds = divmod(round(value), 60)
        return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}" if minutes >= 60 else f"{minutes}:{seconds:02d}"
    if key == "started":
        return str(value)[:16].replace("T", " ")
    return f"{value:.6g}" if isinstance(value, float) else str(value)
