"""Learning curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plugins.report.pictures.style import BLUE, DPI, GREEN, INK, MUTED, ORANGE, heading, save, style
from plugins.report.pictures.tables import write_table
from trainer.text import shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NO_PANEL = ("kind", "epoch", "step", "time", "seconds", "images_per_second")
"""Keys of a line of the history that get no panel."""

History = Sequence[Mapping[str, Any]]


def write_curves(folder: Path, history: History, steps_per_epoch: int, title: str) -> bool:
    """Write `curves.png` and `curves.csv` into a folder; return whether the history has anything but batches to draw.

    Arguments are those of `draw_curves`; the history may be empty.
    """
    if not any(line.get("kind") != "batch" for line in history):
        return False
    write_table(history, folder / "curves.csv")
    save(draw_curves(history, steps_per_epoch, title), folder / "curves.png")
    return True


def draw_curves(history: History, steps_per_epoch: int = 0, title: str = "") -> Figure:
    """Return a figure with one panel per number that was logged: the loss first, the learning rate last.

    Args:
        history: The lines of `history.jsonl`, at least one.
        steps_per_epoch: Places validations in mid-epoch; 0 if there are none.
        title: First line of the heading.
    """
    from matplotlib.figure import Figure

    panels = panels_of(history)
    heights = [1.1 if name == "learning_rate" else 2.4 for name in panels]
    figure = Figure(figsize=(8.2, 1.4 + sum(heights)), dpi=DPI, layout="constrained")
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    best = best_point(*curve(history, "val_loss", steps_per_epoch))
    for axis, name in zip(axes, panels, strict=True):
        draw_panel(axis, name, history, steps_per_epoch, best)
    style_epochs(axes[-1], [epoch_of(line, steps_per_epoch) for line in history])
    lowest = [f"best: validation loss {best[1]:.4g} at epoch {round(best[0], 2):g}"] if best is not None else []
    heading(figure, shortened(title, 40), *lowest)
    figure.align_ylabels(axes)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=3, frameon=False, fontsize=9.5)
    return figure


def panels_of(history: History) -> list[str]:
    """Return the numbers that get a panel: of each epoch or validation, and the learning rate."""
    lines = [line for line in history if line.get("kind") in ("epoch", "validation")]
    logged = dict.fromkeys(name.removeprefix("val_") for line in lines for name in line if name not in NO_PANEL)
    order = {"loss": 0, "accuracy": 1, "learning_rate": 3}
    return sorted(logged, key=lambda name: order.get(name, 2))


def draw_panel(axis: Axes, name: str, history: History, steps_per_epoch: int, best: tuple[float, float] | None) -> None:
    """Draw the curves of one number, of single batches faintly, and where the best epoch is."""
    train = MUTED if name == "learning_rate" else BLUE
    axis.plot(*curve(history, f"batch_{name}", steps_per_epoch), color=train, alpha=0.3, linewidth=0.8, zorder=1)
    for phase, key, colour in (("train", name, train), ("validation", f"val_{name}", ORANGE)):
        epochs, values = curve(history, key, steps_per_epoch)
        if values:
            marker = "o" if len(values) <= 30 else ""
            axis.plot(epochs, values, color=colour, marker=marker, markersize=4, linewidth=1.8, label=phase)
    if best is not None:
        axis.axvline(best[0], color=GREEN, linewidth=1.4, linestyle=(0, (4, 3)), zorder=1)
        if name == "loss":
            axis.plot(*best, "o", markersize=11, markerfacecolor="none", color=GREEN, mew=2, label="best")
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
