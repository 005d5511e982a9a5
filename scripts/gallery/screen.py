"""The screen of a terminal, and an SVG picture of it."""

from __future__ import annotations

import io
import re
from itertools import groupby

import pyte
from pyte.screens import Char
from rich.console import Console
from rich.style import Style
from rich.text import Text

ROWS = 60
"""Rows of a terminal: enough for a whole run, so that nothing scrolls away."""
DIM, GREY = 2, 90
NAMES = {"brown": "yellow", "brightbrown": "bright_yellow"}
"""Colours that pyte and Rich call by different names."""


class Screen(pyte.Screen):
    """A screen that shows faint text in grey; pyte would show it like any other."""

    def select_graphic_rendition(self, *attributes: int, **private: bool) -> None:
        """Set colour and weight of the characters that follow."""
        extended = 38 in attributes or 48 in attributes  # a 2 in there says that red, green and blue follow
        visible = attributes if extended else tuple(GREY if code == DIM else code for code in attributes)
        super().select_graphic_rendition(*visible, **private)


def text_of(screen: Screen) -> str:
    """Return the text on a screen."""
    return "\n".join(screen.display)


def svg(screen: Screen, title: str) -> str:
    """Return a picture of a screen, without the empty rows at its end."""
    used = max(row for row, line in enumerate(screen.display) if line.strip()) + 1
    console = Console(record=True, width=screen.columns, file=io.StringIO(), legacy_windows=False)
    for row in range(used):
        console.print(_line(screen, row), soft_wrap=True)
    console.print()  # Rich's picture cuts underscores off the last row
    return console.export_svg(title=title)


def _line(screen: Screen, row: int) -> Text:
    cells = [screen.buffer[row][column] for column in range(screen.columns)]
    line = Text()
    for style, run in groupby(cells, _style):
        line.append("".join(cell.data for cell in run), style)
    return line


def _style(cell: Char) -> Style:
    return Style(
        color=_colour(cell.fg),
        bgcolor=_colour(cell.bg),
        bold=cell.bold,
        italic=cell.italics,
        underline=cell.underscore,
        reverse=cell.reverse,
    )


def _colour(name: str) -> str | None:
    """Return a colour of pyte as Rich calls it; None for the terminal's own."""
    if name == "default":
        return None
    if re.fullmatch("[0-9a-f]{6}", name):
        return f"#{name}"
    return NAMES.get(name) or re.sub("^bright", "bright_", name)
