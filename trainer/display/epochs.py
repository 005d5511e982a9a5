"""The epochs of a run as a table, and beside it their curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from trainer.display.curve import curves
from trainer.display.html import GREEN, note, side_by_side, table

ROWS = 10
"""Rows of the table: the latest epochs, and the best one if it is not among them."""
LEFT_OUT = ("kind", "epoch", "step", "time", "learning_rate", "images_per_second", "seconds")
"""Keys of a line of the history that get no column of their own."""

History = Sequence[Mapping[str, Any]]


def epochs(history: History, steps_per_epoch: int = 0) -> Markup:
    """Return table and curves of the lines of `history.jsonl`; empty before the first epoch has ended."""
    lines = [line for line in history if line.get("kind") == "epoch"]
    if not lines:
        return Markup("")
    return side_by_side(_table(lines), curves(history, steps_per_epoch))


def _table(lines: History) -> Markup:
    names = _columns(lines)
    best = _best(lines)
    shown = [line for line in lines[:-ROWS] if line is best] + list(lines[-ROWS:])
    head = ["epoch", *(name.replace("_", " ") for name in names), "seconds", ""]
    rows = [[line["epoch"], *(number(name, line.get(name)) for name in (*names, "seconds"))] for line in shown]
    mark = Markup('<span style="color:{}" title="lowest validation loss">● best</span>').format(GREEN)
    marked = [[*row, mark if line is best else ""] for row, line in zip(rows, shown, strict=True)]
    earlier = len(lines) - len(shown)
    return table(head, marked) + (note(f"{earlier:,} earlier epochs are left out") if earlier else Markup(""))


def _columns(lines: History) -> list[str]:
    """Return the numbers that get a column: loss and accuracy first, each beside its validation."""
    order = {"loss": 0, "accuracy": 1}
    logged = dict.fromkeys(name for line in lines for name in line if name not in LEFT_OUT)
    return sorted(logged, key=lambda name: (order.get(name.removeprefix("val_"), 2), name.removeprefix("val_"), name))


def _best(lines: History) -> Mapping[str, Any] | None:
    """Return the epoch of the lowest validation loss; None without validation, or where no loss is finite."""
    finite = [
        line for line in lines if isinstance(line.get("val_loss"), int | float) and math.isfinite(line["val_loss"])
    ]
    return min(finite, key=lambda line: line["val_loss"], default=None)


def number(name: str, value: Any) -> str:
    """Return a logged number as people read it: accuracies in percent, seconds to a tenth."""
    if not isinstance(value, int | float):
        return "-"
    return f"{100 * value:.2f} %" if name.endswith("accuracy") else f"{value:.{1 if name == 'seconds' else 4}f}"
