"""How accuracy falls under corruptions, shifts, turns, sizes and strokes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from plugins.report.pictures.style import BLUE, DPI, INK, MUTED, ORANGE, heading, style
from trainer.text import shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Rows = Sequence[Mapping[str, Any]]


def draw_corruptions(rows: Rows, means: Mapping[str, Any], title: str = "") -> Figure:
    """Return a figure of the accuracy under each corruption, the best first.

    Args:
        rows: What `trainer.evaluation.robustness.measure.corrupted` yields, at least one.
        means: What `summary` says of them.
        title: First line of the heading.
    """
    from matplotlib.figure import Figure

    ordered = sorted(rows, key=lambda row: row["accuracy"])
    figure = Figure(figsize=(7.2, 1.3 + 0.3 * len(rows)), dpi=DPI, layout="constrained")
    axis = figure.subplots()
    for place, row in enumerate(ordered):
        colour = ORANGE if row["trained_for"] else BLUE
        reach = [[row["accuracy"] - row["low"]], [row["high"] - row["accuracy"]]]
        axis.barh(place, row["accuracy"], 0.72, color=colour, xerr=reach, error_kw={"ecolor": INK, "elinewidth": 0.8})
        axis.text(1.02, place, f"{100 * row['accuracy']:.1f} %", va="center", fontsize=9, color=INK)
    style(axis, "")
    axis.grid(visible=False, axis="y")
    axis.set_yticks(range(len(ordered)), [row["corruption"].replace("_", " ") for row in ordered])
    axis.set_xlim(0, 1.14)
    axis.set_xticks([0, 0.2, 0.4, 0.6, 0.8, 1.0], ["0 %", "20 %", "40 %", "60 %", "80 %", "100 %"])
    axis.set_ylim(-0.6, len(ordered) - 0.4)
    for kind, colour in (("trained_for", ORANGE), ("never_seen", BLUE)):
        if means[kind]["names"]:
            label = f"{kind.replace('_', ' ')}: {len(means[kind]['names'])}, mean {100 * means[kind]['mean']:.1f} %"
            axis.barh([-5], [0], color=colour, label=label)
    figure.legend(loc="outside lower left", ncols=2, frameon=False, fontsize=9.5)
    heading(figure, shortened(title, 40), f"MNIST-C's corruptions: mean accuracy {100 * means['all']['mean']:.1f} %")
    return figure


def draw_variations(rows: Rows, title: str = "") -> Figure:
    """Return a figure of the accuracy over each amount of each variation.

    Args:
        rows: What `trainer.evaluation.robustness.measure.varied` yields, at least one.
        title: Heading.
    """
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(row["variation"] for row in rows))
    figure = Figure(figsize=(8.2, 1.0 + 2.4 * -(-len(names) // 2)), dpi=DPI, layout="constrained")
    axes = figure.subplots(-(-len(names) // 2), 2, squeeze=False).ravel()
    for axis, name in zip(axes, names, strict=False):
        _draw_variation(axis, [row for row in rows if row["variation"] == name])
    for axis in axes[len(names) :]:
        axis.set_axis_off()
    heading(figure, shortened(title, 40), "accuracy with its 95 % interval")
    return figure


def _draw_variation(axis: Axes, rows: Rows) -> None:
    from matplotlib.ticker import PercentFormatter

    amounts = [row["amount"] for row in rows]
    axis.fill_between(amounts, [row["low"] for row in rows], [row["high"] for row in rows], color=BLUE, alpha=0.2, lw=0)
    axis.plot(amounts, [row["accuracy"] for row in rows], "o-", color=BLUE, markersize=4, linewidth=1.6)
    neutral = 1 if rows[0]["variation"] == "size" else 0
    axis.axvline(neutral, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    style(axis, "")
    axis.set_ylim(0, 1.04)
    axis.yaxis.set_major_formatter(PercentFormatter(xmax=1.0))
    axis.set_xlabel(rows[0]["unit"], color=INK)
