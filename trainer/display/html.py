"""Pieces of HTML for notebooks: values are escaped, styles stand in the tags, colours suit a light and a dark page.

Notebooks, their viewers and GitHub take away style sheets and scripts from what they do not trust; what is made here
needs neither, and stays readable without its styles.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from trainer.text import printable

BLUE, ORANGE, GREEN, GRAY = "#3b8fd6", "#e0762b", "#2fa37c", "#8a8a8a"
"""Colours that can be told apart by every eye, and seen on white and on black."""
RULE = "rgba(128,128,128,.25)"
FONT = "13px/1.5 system-ui,'Segoe UI','Helvetica Neue','DejaVu Sans',sans-serif"


def card(title: Any, *parts: str) -> Markup:
    """Return a heading, unless it is empty, and parts of HTML, one below the other."""
    head = Markup('<div style="font-weight:600;margin-bottom:4px">{}</div>').format(_text(title)) if title else ""
    body = Markup("").join(Markup('<div style="margin:6px 0">{}</div>').format(part) for part in parts if part)
    return Markup('<div style="font:{};max-width:84em;overflow-wrap:anywhere">{}{}</div>').format(FONT, head, body)


def note(text: Any) -> Markup:
    """Return a line of lesser importance."""
    return Markup('<div style="color:{}">{}</div>').format(GRAY, printable(text))


def definitions(rows: Iterable[tuple[str, Any]]) -> Markup:
    """Return rows of a label and a value."""
    return _table(Markup("").join(Markup("<tr>{}{}</tr>").format(_label(name), _left(value)) for name, value in rows))


def table(head: Sequence[Any], rows: Iterable[Sequence[Any]]) -> Markup:
    """Return a table whose first column holds names and whose other columns hold numbers."""
    lines = [Markup("").join([_label(row[0]), *map(_right, row[1:])]) for row in rows]
    titles = Markup("").join([_label(head[0]), *(_right(name, GRAY) for name in head[1:])])
    body = Markup("").join(Markup("<tr>{}</tr>").format(line) for line in lines)
    return _table(Markup("<thead><tr>{}</tr></thead><tbody>{}</tbody>").format(titles, body))


def bar(share: float, width: str = "16em", colour: str = BLUE) -> Markup:
    """Return a bar that is filled to a share, from 0 to 1."""
    filled = Markup('<div style="height:8px;border-radius:4px;width:{:.1f}%;background:{}"></div>').format(
        100 * min(1.0, max(0.0, share)), colour
    )
    frame = '<div style="display:inline-block;vertical-align:middle;width:{};background:{};border-radius:4px">{}</div>'
    return Markup(frame).format(width, RULE, filled)


def text_block(text: str) -> Markup:
    """Return text whose lines and spaces stay as they are."""
    style = f"margin:0;padding:8px 10px;border:1px solid {RULE};border-radius:6px;font-size:12px;white-space:pre-wrap"
    return Markup('<pre style="{}">{}</pre>').format(style, "\n".join(map(printable, text.split("\n"))))


def place(path: Path | str) -> str:
    """Return a path as it is seen from the current folder, if it lies there."""
    here = Path.cwd()
    return str(Path(path).relative_to(here) if Path(path).is_relative_to(here) else path)


def side_by_side(*parts: str) -> Markup:
    """Return parts beside one another where there is room."""
    style = "display:flex;flex-wrap:wrap;gap:10px 28px;align-items:flex-start"
    columns = Markup("").join(
        Markup('<div style="min-width:0;max-width:100%">{}</div>').format(part) for part in parts if part
    )
    return Markup('<div style="{}">{}</div>').format(style, columns)


def _table(rows: Markup) -> Markup:
    style = "border-collapse:collapse;margin:0;font-size:13px;font-variant-numeric:tabular-nums;border:none"
    return Markup('<div style="overflow-x:auto"><table style="{}">{}</table></div>').format(style, rows)


def _label(value: Any) -> Markup:
    return _cell("th", value, f"text-align:left;color:{GRAY};font-weight:500;white-space:nowrap")


def _left(value: Any) -> Markup:
    return _cell("td", value, "text-align:left")


def _right(value: Any, colour: str = "inherit") -> Markup:
    return _cell("td", value, f"text-align:right;color:{colour};white-space:nowrap")


def _cell(tag: str, value: Any, style: str) -> Markup:
    style = f"{style};padding:2px 14px 2px 0;border:none;background:none"
    return Markup('<{} style="{}">{}</{}>').format(Markup(tag), style, _text(value), Markup(tag))


def _text(value: Any) -> str:
    """Return a value in one printable line; what is HTML already, such as a bar, stays as it is."""
    return value if isinstance(value, Markup) else printable(value)
