"""Learning curves: one chart per number that was logged."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from plugins.report.pictures.panel import Panel
from plugins.report.pictures.scale import Scale, around, is_drawn
from plugins.report.pictures.tables import write_table

NO_PANEL = ("kind", "epoch", "step", "time", "seconds", "images_per_second")
"""Keys of a line of the history that get no chart."""
LOGARITHMIC = ("loss", "accuracy")
"""Numbers whose last epochs deserve a logarithmic scale; that of the accuracy is of its complement."""
MOST_BATCHES = 300
"""Points of a curve of single batches; of more, several are averaged."""
FEWEST_BATCHES = 20
"""Fewer points of single batches show noise instead of a course."""
MOST_DOTS = 30

History = Sequence[Mapping[str, Any]]
Points = tuple[list[float], list[float]]


def write_curves(history: History, path: Path) -> bool:
    """Write the history as a table; return False if it has nothing but batches, and no table is written."""
    if not any(line.get("kind") != "batch" for line in history):
        return False
    write_table(history, path)
    return True


def curves(history: History, steps_per_epoch: int = 0) -> list[Panel]:
    """Return one chart per number that was logged: the loss first, the learning rate last.

    Args:
        history: The lines of `history.jsonl`.
        steps_per_epoch: Places validations in mid-epoch; 0 if there are none.
    """
    names = panels_of(history)
    if not names:
        return []
    epochs = _epochs([epoch_of(line, steps_per_epoch) for line in history])
    best = best_point(*curve(history, "val_loss", steps_per_epoch))
    return [_panel(name, history, steps_per_epoch, epochs, best) for name in names]


def panels_of(history: History) -> list[str]:
    """Return the numbers that get a chart: those of epochs or validations, and the learning rate."""
    lines = [line for line in history if line.get("kind") in ("epoch", "validation")]
    logged = dict.fromkeys(name.removeprefix("val_") for line in lines for name in line if name not in NO_PANEL)
    order = {"loss": 0, "accuracy": 1, "learning_rate": 3}
    return sorted(logged, key=lambda name: order.get(name, 2))


def _panel(name: str, history: History, steps_per_epoch: int, epochs: Scale, best: tuple[float, float] | None) -> Panel:
    """Return the chart of one number: by epoch, of single batches faintly, and where the best epoch is."""
    keys = (name, f"val_{name}", f"batch_{name}")
    lines = [curve(history, key, steps_per_epoch) for key in keys]
    share, label = name == "accuracy", name.replace("_", " ")
    complements = [_complement(line) for line in lines] if share else lines
    if log := name in LOGARITHMIC and is_flat_at_the_end(complements[:2]):
        lines, label = complements, f"{'error rate' if share else label}, logarithmic"
    train, validation, batches = lines
    values = [value for value in (*train[1], *validation[1]) if is_drawn(value)]
    within = around(values, log=log, percent=share) if values else Scale(0, 1)
    panel = Panel(label, epochs, within, "epoch", _about(label, train, validation), labels=bool(validation[1]))
    if not values:
        panel.remark("no finite value")
        return panel
    if best is not None:
        panel.upright(best[0], "green", f"best: epoch {round(best[0], 2):g}")
    _draw_batches(panel, batches, within)
    _draw_lines(panel, train, validation)
    if best is not None and name == "loss":
        panel.ring(*best, "green")
    return panel


def _draw_batches(panel: Panel, batches: Points, within: Scale) -> None:
    """Draw the curve of single batches, cut off at the edges of the chart."""
    epochs, values = thinned(*batches)
    if len(epochs) >= FEWEST_BATCHES:
        panel.line(epochs, [min(max(value, within.low), within.high) for value in values], "blue", faint=True)


def _draw_lines(panel: Panel, train: Points, validation: Points) -> None:
    """Draw the curves of epochs, and label them where they end if there are two."""
    for points, colour, phase in ((train, "blue", "training"), (validation, "orange", "validation")):
        panel.line(*points, colour, dots=len(points[0]) <= MOST_DOTS)
        last = [value for value in points[1] if panel.shows(value)][-1:]
        if validation[1] and last:
            panel.label(last[0], phase, colour)


def is_flat_at_the_end(lines: Sequence[Points]) -> bool:
    """Return True if a linear scale shows nothing of the last epochs, and a logarithmic one has a place for all.

    So it is where the values of all lines span a factor of 5 or more, and their second halves less than a sixth of it.
    """
    values = [[value for value in ys if is_drawn(value)] for _, ys in lines]
    every = [value for ys in values for value in ys]
    if len(every) < 6 or not is_drawn(min(every), log=True) or max(every) < 5 * min(every):
        return False
    late = [value for ys in values for value in ys[len(ys) // 2 :]]
    return max(late) - min(late) < (max(every) - min(every)) / 6


def curve(history: History, name: str, steps_per_epoch: int) -> Points:
    """Return the epochs and the values of a logged number."""
    lines = [line for line in history if line.get(name) is not None]
    return [epoch_of(line, steps_per_epoch) for line in lines], [float(line[name]) for line in lines]


def thinned(epochs: Sequence[float], values: Sequence[float], most: int = MOST_BATCHES) -> Points:
    """Return at most `most` points: the means of neighbours where there are more."""
    together = max(1, -(-len(epochs) // most))
    parts = [slice(start, start + together) for start in range(0, len(epochs), together)]
    return [fmean(epochs[part]) for part in parts], [fmean(values[part]) for part in parts]


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


def _complement(points: Points) -> Points:
    """Return the error rates of accuracies."""
    return points[0], [1 - value for value in points[1]]


def _epochs(found: Sequence[float]) -> Scale:
    """Return the shared axis of epochs."""
    first, last = min(found), max(found)
    margin = 0.03 * (last - first) or 0.5 * last or 1.0
    return Scale(first - margin, last + margin, whole=last >= 1)


def _about(label: str, train: Points, validation: Points) -> str:
    ends = [
        f"{phase} ends at {ys[-1]:.4g}" for phase, (_, ys) in (("training", train), ("validation", validation)) if ys
    ]
    return f"Chart of {label} by epoch: {', '.join(ends)}."
