"""Pictures of the notebooks in docs/, executed from top to bottom."""

from __future__ import annotations

from collections.abc import Iterator

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbconvert import HTMLExporter

from trainer.errors import InkwellError

from .browser import page, whole
from .workshop import ROOT, Workshop

NOTEBOOKS = ROOT / "docs" / "notebooks"
PATIENCE = 1800
"""Longest time for one cell, in seconds."""


def pictures(workshop: Workshop) -> Iterator[tuple[str, bytes]]:
    """Yield a picture per notebook with its name.

    Raises:
        InkwellError: If a cell raises an exception.
    """
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        place = {"metadata": {"path": str(workshop.folder)}}
        try:
            NotebookClient(notebook, timeout=PATIENCE, kernel_name="python3", resources=place).execute()
        except CellExecutionError as error:
            raise InkwellError(f"cannot picture {path}: {error.ename}: {error.evalue}") from error
        html, _ = HTMLExporter(template_name="lab").from_notebook_node(notebook)
        with page(workshop.browser, 1000, 800, offline=True) as opened:
            opened.set_content(html)
            yield f"notebook-{path.stem}", whole(opened)
