"""The confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from plugins.report.pictures.style import DPI, INK, MUTED, RULE, heading
from trainer.console.sheet import csv_text
from trainer.files import write_atomic
from trainer.text import shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

RIGHT, WRONG = "Blues", "Oranges"
LONGEST_NAME = 18
MOST_COUNTS = 3000  # more take many seconds to draw; the largest are printed, and the table has all


def write_confusion(counts: NDArray[Any], names: Sequence[str], path: Path) -> None:
    """Write a confusion matrix as CSV: one row a true class, one column a predicted one."""
    rows = ([name, *row] for name, row in zip(names, counts.tolist(), strict=True))
    write_atomic(path, csv_text([["true \\ predicted", *names], *rows]))


def draw_confusion(counts: NDArray[Any], names: Sequence[str], title: str = "") -> Figure:
    """Return a figure of a confusion matrix, coloured by share of the true class.

    Right and wrong have colours of their own: on one scale a diagonal of 99 % hides every error.

    Args:
        counts: Images by true class (rows) and predicted class (columns), `[K, K]`.
        names: Names of the K classes.
        title: First line of the heading.
    """
    from matplotlib.figure import Figure

    classes = len(counts)
    labels = [shortened(name, LONGEST_NAME) for name in names]
    font = 9.0 if classes <= 12 else 8.0 if classes <= 30 else 6.5
    cell = max(0.5 if classes <= 12 else 0.36 if classes <= 30 else 0.27, 3.2 / classes)
    side = cell * classes + font / 100 * max(map(len, labels))
    figure = Figure(figsize=(side + 1.7, side + 1.3), dpi=DPI, layout="constrained")
    axis = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    colours = cell_colours(shares)
    edges = np.arange(classes + 1) - 0.5
    axis.pcolormesh(edges, edges, colours, edgecolors=RULE, linewidth=0.5)
    axis.set_aspect("equal")
    axis.invert_yaxis()
    write_counts(axis, counts, colours, font)
    label_classes(axis, labels, shares, counts.sum(axis=1), font)
    right, total = int(np.trace(counts)), int(counts.sum())
    found = f"{right:,} of {total:,} right ({right / max(total, 1):.2%}), {total - right:,} wrong"
    heading(figure, shortened(title, 40), found)
    return figure


def cell_colours(shares: NDArray[Any]) -> NDArray[Any]:
    """Return the colour of each cell, `[K, K, 4]`: blue on the diagonal, elsewhere orange up to the worst error."""
    from matplotlib import colormaps

    diagonal = np.eye(len(shares), dtype=bool)
    errors = np.where(diagonal, 0.0, shares)
    # The root lifts rare errors out of the background; one that happened is never as pale as one that did not.
    strength = np.where(errors > 0, 0.12 + 0.68 * np.sqrt(errors / max(errors.max(), 1e-9)), 0.0)
    colours = colormaps[WRONG](strength)
    colours[errors == 0] = 1.0
    colours[diagonal] = colormaps[RIGHT](0.1 + 0.5 * np.diagonal(shares) ** 2)
    return colours


def write_counts(axis: Axes, counts: NDArray[Any], colours: NDArray[Any], font: float) -> None:
    """Print the counts, dark on light or light on dark; nothing in empty cells."""
    light = colours[..., :3] @ (0.299, 0.587, 0.114)
    cells = sorted(np.argwhere(counts).tolist(), key=lambda cell: (cell[0] != cell[1], -counts[*cell]))
    for row, column in cells[:MOST_COUNTS]:
        text, colour = f"{counts[row, column]}", INK if light[row, column] > 0.5 else "white"
        axis.text(
            column, row, text, ha="center", va="center", fontsize=font, color=colour, in_layout=False, parse_math=False
        )


def label_classes(axis: Axes, labels: Sequence[str], shares: NDArray[Any], totals: NDArray[Any], font: float) -> None:
    """Write the names of classes on the left and below, and the share found of each class on the right."""
    ticks = range(len(labels))
    rotation = 90 if max(map(len, labels)) > 3 else 0
    axis.set_xticks(ticks, labels, rotation=rotation, fontsize=font, parse_math=False)
    axis.set_yticks(ticks, labels, fontsize=font, parse_math=False)
    axis.set_xlabel("predicted", color=INK)
    axis.set_ylabel("true", color=INK)
    found = axis.secondary_yaxis("right")
    recalls = [f"{shares[i, i]:.1%}" if totals[i] else "none" for i in ticks]
    found.set_yticks(ticks, recalls, fontsize=font)
    found.set_ylabel("recall", color=INK)
    for side in (axis, found):
        side.tick_params(length=0, colors=MUTED)
        side.spines[:].set_visible(False)
