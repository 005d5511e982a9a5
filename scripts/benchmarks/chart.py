"""The chart of `speed`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def draw(data: Mapping[str, Any], path: Path) -> None:
    """Write a PNG of milliseconds per step, with one bar per contender and its spread.

    Args:
        data: The numbers of `speed`.
        path: The file to write.
    """
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    rows = list(reversed(data["rows"]))
    medians = [row["ms"]["median"] for row in rows]
    errors = [
        [row["ms"]["median"] - row["ms"]["min"] for row in rows],
        [row["ms"]["max"] - m for row, m in zip(rows, medians, strict=True)],
    ]
    figure, axes = plt.subplots(figsize=(8, 1.2 + 0.5 * len(rows)), layout="constrained")
    colours = ["#1f5fa8" if row["name"].startswith("Inkwell") else "#9aa5b1" for row in rows]
    axes.barh([row["name"] for row in rows], medians, xerr=errors, color=colours, ecolor="#444444", capsize=3)
    right = max(row["ms"]["max"] for row in rows)
    for y, row in enumerate(rows):
        axes.text(row["ms"]["max"] + 0.015 * right, y, f"{medians[y]:.1f}", va="center")
    axes.set_xlim(0, 1.12 * right)
    axes.set_xlabel("milliseconds per training step (median, min to max)")
    axes.set_title(f"{data['model']}, batch {data['batch_size']}, {data['images']}")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
    plt.close(figure)
