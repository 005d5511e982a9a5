"""Accuracy as digits are shifted, rotated, scaled, thickened or thinned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from plugins.report.pictures.panel import Panel
from plugins.report.pictures.scale import Scale, around

UNCHANGED = {"size": 1.0}
"""Amounts of variations that change nothing, where that is not 0."""

Rows = Sequence[Mapping[str, Any]]


def variation_charts(rows: Rows) -> list[Panel]:
    """Return a chart per variation: accuracy by amount, with its 95 % interval.

    Args:
        rows: The rows of `variations.csv`: what `trainer.evaluation.robustness.measure.varied` yields.
    """
    names = dict.fromkeys(row["variation"] for row in rows)
    return [_chart(name, [row for row in rows if row["variation"] == name]) for name in names]


def _chart(name: str, rows: Rows) -> Panel:
    rows = sorted(rows, key=lambda row: row["amount"])
    amounts, shares = [row["amount"] for row in rows], [row["accuracy"] for row in rows]
    about = f"Accuracy by {name}: at best {max(shares):.1%}, at worst {min(shares):.1%}."
    panel = Panel(f"{name}: accuracy", around(amounts), Scale(0, 1, percent=True), rows[0]["unit"], about)
    panel.upright(UNCHANGED.get(name, 0.0), "muted")
    panel.band(amounts, [row["low"] for row in rows], [row["high"] for row in rows], "blue")
    panel.line(amounts, shares, "blue", dots=True)
    return panel
