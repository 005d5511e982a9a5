"""Draws learning curves and the confusion matrix, once, when the run is over; each with the table behind it."""

from __future__ import annotations

import csv
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.plugin import Plugin
from trainer.registry import plugins

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from trainer.run import Run

DPI = 110
INK, MUTED, RULE = "#222222", "#666666", "#e6e6e6"
TRAIN, VALIDATION, BEST = "#0072B2", "#D55E00", "#009E73"  # by Okabe and Ito: told apart by every eye
RIGHT, WRONG = "Blues", "Oranges"
LONGEST_NAME = 18
MOST_COUNTS = 3000  # more take many seconds to draw; the largest are printed, and the table has all

History = Sequence[Mapping[str, Any]]


@plugins.register("plots")
class Plots(Plugin):
    """Draw `curves.png` and `confusion.png` into the report folder, and write the CSV behind each.

    They are drawn when the test data were looked at, or at the end of a run that did not come so far.
    """

    name = "plots"
    observer = True

    def __init__(self) -> None:
        self._drawn = False

    def on_fit_start(self, run: Run) -> None:
        """Forget an earlier run."""
        self._drawn = False

    def on_test_end(self, run: Run) -> None:
        """Draw everything."""
        self._draw(run)

    def on_fit_end(self, run: Run) -> None:
        """Draw the curves of a run that ended before its test."""
        if not self._drawn:
            self._draw(run)

    def _draw(self, run: Run) -> None:
        self._drawn = True
        folder = run.report
        if folder is None:
            return
        if any(line["kind"] != "batch" for line in run.history):
            write_history(run.history, folder / "curves.csv")
            save(draw_curves(run.history, run.steps_per_epoch, run.name), folder / "curves.png")
        counts = np.array(run.result.get("test", {}).get("confusion", []), dtype=int)
        if counts.size:
            names = class_names(run.data.get("class_names"), len(counts))
            write_confusion(counts, names, folder / "confusion.csv")
            save(draw_confusion(counts, names, run.name), folder / "confusion.png")


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, without pyplot: that keeps global state and may look for a screen."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with warnings.catch_warnings():
        # Classes may be named in any script; the table has the names that the font has not.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        FigureCanvasAgg(figure).print_png(path)


def write_history(history: History, path: Path) -> None:
    """Write history as CSV: one row a line, one column a name; what a line does not have stays empty."""
    columns = list(dict.fromkeys(name for line in history for name in line))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(history)


def draw_curves(history: History, steps_per_epoch: int = 0, title: str = "") -> Figure:
    """Return a figure with one panel for each of loss, accuracy and learning rate that was logged.

    Args:
        history: The lines of `history.jsonl`, at least one.
        steps_per_epoch: Places validations in mid-epoch; 0 if there are none.
        title: First line of the heading.
    """
    from matplotlib.figure import Figure

    logged = {name.removeprefix("val_") for line in history for name in line}
    panels = [name for name in ("loss", "accuracy", "learning_rate") if name in logged]
    heights = [1.1 if name == "learning_rate" else 2.4 for name in panels]
    figure = Figure(figsize=(8.2, 1.4 + sum(heights)), dpi=DPI, layout="constrained")
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    best = best_point(*curve(history, "val_loss", steps_per_epoch))
    for axis, name in zip(axes, panels, strict=True):
        draw_panel(axis, name, history, steps_per_epoch, best)
    style_epochs(axes[-1], [epoch_of(line, steps_per_epoch) for line in history])
    heading = shortened(title, 40)
    if best is not None:
        heading += f"\nbest: validation loss {best[1]:.4g} at epoch {round(best[0], 2):g}"
    figure.suptitle(heading, x=0.012, ha="left", fontsize=11, color=INK, parse_math=False)
    figure.align_ylabels(axes)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=3, frameon=False, fontsize=9.5)
    return figure


def draw_panel(axis: Axes, name: str, history: History, steps_per_epoch: int, best: tuple[float, float] | None) -> None:
    """Draw the curves of one number, of single batches faintly, and where the best epoch is."""
    train = MUTED if name == "learning_rate" else TRAIN
    axis.plot(*curve(history, f"batch_{name}", steps_per_epoch), color=train, alpha=0.3, linewidth=0.8, zorder=1)
    for phase, key, colour in (("train", name, train), ("validation", f"val_{name}", VALIDATION)):
        epochs, values = curve(history, key, steps_per_epoch)
        if values:
            marker = "o" if len(values) <= 30 else ""
            axis.plot(epochs, values, color=colour, marker=marker, markersize=4, linewidth=1.8, label=phase)
    if best is not None:
        axis.axvline(best[0], color=BEST, linewidth=1.4, linestyle=(0, (4, 3)), zorder=1)
        if name == "loss":
            axis.plot(*best, "o", markersize=11, markerfacecolor="none", color=BEST, mew=2, label="best")
    style(axis, name.replace("_", " "))
    scale(axis, name, [value for key in (name, f"val_{name}") for value in curve(history, key, 0)[1]])


def scale(axis: Axes, name: str, values: Sequence[float]) -> None:
    """Give an axis the scale on which its values can be read."""
    from matplotlib.ticker import LogLocator, NullFormatter, PercentFormatter, StrMethodFormatter

    finite = [value for value in values if math.isfinite(value)]
    positive = [value for value in finite if value > 0]
    if not finite:
        axis.set_yticks([])
        axis.text(0.5, 0.5, "no finite value", transform=axis.transAxes, ha="center", va="center", color=MUTED)
    elif name == "accuracy":
        axis.yaxis.set_major_formatter(PercentFormatter(xmax=1.0))
    elif name == "loss" and positive and max(positive) > 20 * min(positive):
        axis.set_yscale("log")
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.yaxis.set_minor_formatter(NullFormatter())


def style(axis: Axes, label: str) -> None:
    """Take away what does not carry information."""
    axis.set_ylabel(label, color=INK)
    axis.grid(color=RULE, linewidth=0.8)
    axis.set_axisbelow(True)
    axis.tick_params(colors=MUTED, labelsize=9)
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color("#b0b0b0")


def style_epochs(axis: Axes, epochs: Sequence[float]) -> None:
    """Give the shared axis of epochs its range and whole numbers."""
    from matplotlib.ticker import MaxNLocator

    first, last = min(epochs), max(epochs)
    margin = 0.03 * (last - first) or 0.5 * last
    axis.set_xlim(first - margin, last + margin)
    axis.xaxis.set_major_locator(MaxNLocator(nbins=12, integer=last >= 1, min_n_ticks=1))
    axis.set_xlabel("epoch", color=INK)


def curve(history: History, name: str, steps_per_epoch: int) -> tuple[list[float], list[float]]:
    """Return the epochs and the values of a logged number."""
    lines = [line for line in history if line.get(name) is not None]
    return [epoch_of(line, steps_per_epoch) for line in lines], [float(line[name]) for line in lines]


def epoch_of(line: Mapping[str, Any], steps_per_epoch: int) -> float:
    """Return where on the axis of epochs a history line lies; in mid-epoch a fraction."""
    return line["step"] / steps_per_epoch if steps_per_epoch else float(line["epoch"])


def best_point(epochs: Sequence[float], values: Sequence[float]) -> tuple[float, float] | None:
    """Return the epoch and value of the lowest value; None if no value is finite."""
    finite = [(value, epoch) for epoch, value in zip(epochs, values, strict=True) if math.isfinite(value)]
    if not finite:
        return None
    value, epoch = min(finite)
    return epoch, value


def class_names(given: Sequence[Any] | None, count: int) -> list[str]:
    """Return `count` names: those given if they fit, else numbers."""
    return [str(name) for name in given] if given and len(given) == count else [str(i) for i in range(count)]


def shortened(text: str, length: int) -> str:
    """Return `text` with an ellipsis for the middle of what is too long; the end often tells names apart."""
    if len(text) <= length:
        return text
    tail = (length - 1) // 2
    return f"{text[: length - 1 - tail]}…{text[-tail:]}"


def write_confusion(counts: NDArray[Any], names: Sequence[str], path: Path) -> None:
    """Write a confusion matrix as CSV: one row a true class, one column a predicted one."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["true \\ predicted", *names])
        writer.writerows([name, *row] for name, row in zip(names, counts.tolist(), strict=True))


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
    heading = (
        f"{shortened(title, 40)}\n{right:,} of {total:,} right ({right / max(total, 1):.2%}), {total - right:,} wrong"
    )
    figure.suptitle(heading, x=0.012, ha="left", fontsize=11, color=INK, parse_math=False)
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
