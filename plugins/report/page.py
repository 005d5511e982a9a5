"""Writes `report/index.html`: one file with everything in it, for any browser, without a network or a script."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from markupsafe import Markup

from plugins.report.contents import Contents
from trainer.files import write_atomic
from trainer.runs.files import RunFiles
from trainer.runs.reported import picture
from trainer.text import count, printable, printable_lines

PICTURES = ("curves", "confusion", "reliability", "errors", "robustness", "variations")
HERE = Path(__file__).parent


def write_page(contents: Contents, files: RunFiles) -> Path:
    """Write the page of a run and return where it is; what the run lacks is left out.

    Args:
        contents: The contents of its report.
        files: The run, whose folder `report` exists and has the pictures.

    Raises:
        InkwellError: If a picture cannot be read.
    """
    report = files.report
    pictures = {name: _inlined(picture(files, f"{name}.png")) for name in PICTURES}
    tables = [f"{name}.csv" for name in (*PICTURES, "per_class") if (report / f"{name}.csv").is_file()]
    page = environment().get_template("page.html").render(contents=contents, pictures=pictures, tables=tables)
    write_atomic(report / "index.html", page)
    return report / "index.html"


def seen(value: Any) -> Any:
    """Return what a template shows, of a text each line without what would steer a reader or a terminal."""
    if isinstance(value, Markup):
        return Markup(printable_lines(value))
    return printable_lines(value) if isinstance(value, str) else value


def in_shell(value: Any) -> str:
    """Return a value as a word of a command line."""
    return shlex.quote(printable(value))


@cache
def environment(finalize: Callable[[Any], Any] = seen, shell: Callable[[Any], str] = in_shell) -> Any:
    """Return what fills templates: everything is escaped for HTML; what a run does not say stays empty.

    Args:
        finalize: Makes of each value what is shown.
        shell: Makes of a value a word of a command line.
    """
    import jinja2

    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
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
    """Return a share as `99.49 %`, never broken over two lines; a dash for what is no number."""
    return f"{100 * share:.{digits}f}\N{NO-BREAK SPACE}%" if isinstance(share, int | float) else "-"


def number(value: Any, digits: int = 0) -> str:
    """Return a number as `1,234` or `0.0166`; a dash for what is none."""
    return f"{value:,.{digits}f}" if isinstance(value, int | float) else "-"


def counted(value: Any, thing: str) -> str:
    """Return a number of things; a dash for what is no number."""
    return count(value, thing) if isinstance(value, int) else f"- {thing}s"


def _inlined(content: bytes) -> str:
    """Return a PNG as a data URI; empty if there is none."""
    return f"data:image/png;base64,{base64.b64encode(content).decode()}" if content else ""
