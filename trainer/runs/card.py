"""A run directory on a card: the status of the run, its result, its curves and its files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from markupsafe import Markup

from trainer.display.epochs import epochs
from trainer.display.html import card, definitions, note
from trainer.display.outcome import outcome
from trainer.text import printable

if TYPE_CHECKING:
    from trainer.runs.files import RunFiles

REPORT_PAGE = "index.html"
LARGE = 4_000_000
"""Bytes of a history from which it is not read to show it."""


def run_card(files: RunFiles) -> Markup:
    """Return the card of a run directory."""
    result = files.result
    shown = outcome(result, files.run.data.get("class_names", ())) if result else ""
    title = result.headline if result else f"{files.name}: {files.status()}"
    return card(title, note(f"{files.name}: {files.status()}"), _epochs(files), shown, definitions(_places(files)))


def _epochs(files: RunFiles) -> Markup:
    """Return the epochs with their curves, unless there are too many to read for that."""
    return epochs(files.history()) if files.history_size < LARGE else Markup("")


def _places(files: RunFiles) -> Iterator[tuple[str, str]]:
    """Yield the files that a user wants to open."""
    if (page := files.report / REPORT_PAGE).is_file():
        yield "report", Markup('<a href="{0}">{0}</a>').format(printable(page))
    for role in ("best", "last"):
        if (path := files.checkpoint(role)) is not None:
            yield f"{role} checkpoint", path.name
