"""Fills the templates of the report; whatever a run says is escaped, and cannot steer a terminal."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from markupsafe import Markup

from trainer.text import count, printable, printable_lines

TEMPLATES = Path(__file__).parent / "templates"


def seen(value: Any) -> Any:
    """Return a value as a template shows it; text without characters that would steer a reader or a terminal."""
    if isinstance(value, Markup):
        return Markup(printable_lines(value))
    return printable_lines(value) if isinstance(value, str) else value


def in_shell(value: Any) -> str:
    """Return a value as a word of a command line."""
    return shlex.quote(printable(value))


@cache
def environment(finalize: Callable[[Any], Any] = seen, shell: Callable[[Any], str] = in_shell) -> Any:
    """Return the environment that fills templates: all is escaped for HTML; what a run does not say stays empty.

    Args:
        finalize: Returns a value as it is shown.
        shell: Returns a value as a word of a command line.
    """
    import jinja2

    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=lambda name: name is not None and name.endswith(".html"),
        undefined=jinja2.ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=finalize,
    )
    templates.filters |= {"percent": percent, "number": number, "count": counted, "shell": shell}
    return templates


def percent(share: Any, digits: int = 2) -> str:
    """Return a share as `99.49 %`, never broken over two lines; a dash for anything but a number."""
    return f"{100 * share:.{digits}f}\N{NO-BREAK SPACE}%" if isinstance(share, int | float) else "-"


def number(value: Any, digits: int = 0) -> str:
    """Return a number as `1,234` or `0.0166`; a dash for what is none."""
    return f"{value:,.{digits}f}" if isinstance(value, int | float) else "-"


def counted(value: Any, thing: str) -> str:
    """Return a count with its noun; a dash for anything but a number."""
    return count(value, thing) if isinstance(value, int) else f"- {thing}s"
