"""What all pictures share: colours, axes, names of classes, and how they are written."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.files import write_atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 110
INK, MUTED, RULE = "#222222", "#666666", "#e6e6e6"
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"  # by Okabe and Ito: told apart by every eye


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, without pyplot: that keeps global state and may look for a screen."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    drawn = BytesIO()
    with warnings.catch_warnings():
        # Classes may be named in any script; the table has the names that the font has not.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        FigureCanvasAgg(figure).print_png(drawn)
    write_atomic(path, drawn.getvalue())  # which follows no link to somewhere else


def heading(figure: Figure, *lines: str) -> None:
    """Write the heading of a figure, left."""
    figure.suptitle("\n".join(lines), x=0.012, ha="left", fontsize=11, color=INK, parse_math=False)


def style(axis: Axes, label: str) -> None:
    """Take away what does not carry information."""
    axis.set_ylabel(label, color=INK)
    axis.grid(color=RULE, linewidth=0.8)
    axis.set_axisbelow(True)
    axis.tick_params(colors=MUTED, labelsize=9)
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color("#b0b0b0")


def class_names(given: Sequence[Any] | None, count: int) -> list[str]:
    """Return `count` names: those given if they fit, else numbers."""
    return [str(name) for name in given] if given and len(given) == count else [str(i) for i in range(count)]
