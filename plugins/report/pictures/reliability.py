"""The reliability diagram: how often the model is right where it says that it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from plugins.report.pictures.style import BLUE, DPI, INK, MUTED, ORANGE, heading, style
from trainer.text import shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Bins = Sequence[Mapping[str, Any]]


def draw_reliability(kinds: Mapping[str, Bins], errors: Mapping[str, float], title: str = "") -> Figure:
    """Return a figure of accuracy over confidence, and of how many images lie where.

    Args:
        kinds: The bins (see `trainer.evaluation.calibration.reliability`) of one or two kinds of probabilities.
        errors: The calibration error of each kind.
        title: First line of the heading.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter, PercentFormatter, StrMethodFormatter

    figure = Figure(figsize=(6.2, 6.6), dpi=DPI, layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1))
    upper.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)), label="as sure as right")
    colours = (BLUE, ORANGE)
    for place, (kind, bins) in enumerate(kinds.items()):
        _draw_bins(upper, bins, colours[place], kind)
        _draw_counts(lower, bins, colours[place], place, len(kinds))
    for axis in (upper, lower):
        axis.set_xlim(-0.02, 1.02)
    upper.set_ylim(-0.04, 1.04)
    style(upper, "accuracy, 95 % interval")
    style(lower, "images")
    upper.yaxis.set_major_formatter(PercentFormatter(xmax=1.0))
    lower.xaxis.set_major_formatter(PercentFormatter(xmax=1.0))
    lower.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    lower.yaxis.set_minor_formatter(NullFormatter())
    lower.set_xlabel("confidence: the highest probability", color=INK)
    upper.legend(loc="lower right", frameon=False, fontsize=9.5)
    told = ", ".join(f"{kind} {100 * error:.2f} %" for kind, error in errors.items())
    heading(figure, shortened(title, 40), f"expected calibration error: {told}")
    return figure


def _draw_bins(axis: Axes, bins: Bins, colour: str, label: str) -> None:
    filled = [row for row in bins if row["images"]]
    x, y = [row["confidence"] for row in filled], [row["accuracy"] for row in filled]
    lows, highs = [row["accuracy_low"] for row in filled], [row["accuracy_high"] for row in filled]
    axis.vlines(x, lows, highs, color=colour, linewidth=1)
    axis.plot(x, y, "o-", color=colour, label=label, markersize=5, linewidth=1.2)


def _draw_counts(axis: Axes, bins: Bins, colour: str, place: int, kinds: int) -> None:
    width = 0.8 / len(bins) / kinds
    left = [row["low"] + 0.1 / len(bins) + place * width for row in bins]
    axis.bar(left, [row["images"] for row in bins], width, align="edge", color=colour, alpha=0.85)
    axis.set_yscale("log")
    axis.set_ylim(0.7, None)
