"""Writes `report/index.html`: one file with everything in it, for any browser, without a network or a script."""

from __future__ import annotations

import base64
import shlex
from pathlib import Path
from typing import Any

from markupsafe import Markup

from plugins.report.contents import Contents
from trainer.files import write_atomic
from trainer.text import count, printable, printable_lines

PICTURES = ("curves", "confusion", "reliability", "errors", "robustness", "variations")
HERE = Path(__file__).parent


def write_page(contents: Contents) -> Path:
    """Write the page of a run and return where it is; what a run has not is left out.

    Args:
        contents: The contents of its report; its folder has a folder `report` with the pictures.
    """
    report = contents.folder / "report"
    pictures = {name: _inlined(report / f"{name}.png") for name in PICTURES}
    tables = [f"{name}.csv" for name in (*PICTURES, "per_class") if (report / f"{name}.csv").is_file()]
    page = environment().get_template("page.html").render(contents=contents, pictures=pictures, tables=tables)
    write_atomic(report / "index.html", page)
    return report / "index.html"


def environment() -> Any:
    """Return what fills templates: everything is escaped for HTML; what a run does not say stays empty."""
    import jinja2

    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=lambda name: name is not None and name.endswith(".html"),
        undefined=jinja2.ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=seen,
    )
    templates.filters |= {"percent": percent, "number": number, "count": count, "shell": in_shell}
    return templates


def seen(value: Any) -> Any:
    """Return what a template shows, of a text each line without what would steer a reader or a terminal."""
    if isinstance(value, Markup):
        return Markup(printable_lines(value))
    return printable_lines(value) if isinstance(value, str) else value


def in_shell(value: Any) -> str:
    """Return a value as a word of a command line."""
    return shlex.quote(printable(value))


def percent(share: Any, digits: int = 2) -> str:
    """Return a share as `99.49 %`, never broken over two lines; a dash for what is no number."""
    return f"{100 * share:.{digits}f}\N{NO-BREAK SPACE}%" if isinstance(share, int | float) else "-"


def number(value: Any, digits: int = 0) -> str:
    """Return a number as `1,234` or `0.0166`; a dash for what is none."""
    return f"{value:,.{digits}f}" if isinstance(value, int | float) else "-"


def _inlined(picture: Path) -> str:
    """Return a PNG as a data URI; empty if there is none."""
    if not picture.is_file():
        return ""
    return f"data:image/png;base64,{base64.b64encode(picture.read_bytes()).decode()}"
