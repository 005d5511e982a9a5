"""Writes `report/index.html`: one file with everything in it, for any browser, without a network or a script."""

from __future__ import annotations

import base64
import re
from functools import cache
from pathlib import Path
from typing import Any

from plugins.report.contents import Contents
from trainer.files import write_atomic
from trainer.runs.files import RunFiles
from trainer.runs.reported import picture
from trainer.text import count

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


@cache
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
    )
    templates.filters |= {"percent": percent, "number": number, "count": counted, "plain": plain}
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


def plain(value: Any) -> str:
    """Return text in one line that Markdown and HTML show as it is."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(str(value).split()))


def _inlined(content: bytes) -> str:
    """Return a PNG as a data URI; empty if there is none."""
    return f"data:image/png;base64,{base64.b64encode(content).decode()}" if content else ""
