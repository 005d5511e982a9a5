"""Execute the notebooks of docs/ and keep their outputs: `python scripts/notebooks.py`."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from tempfile import TemporaryDirectory

try:
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    from trainer.console.cli import Parser, run_script
    from trainer.console.output import say
    from trainer.errors import InkwellError
    from trainer.files import write_atomic
except ImportError:
    runpy.run_path(str(Path(__file__).with_name("guard.py")))  # says why
    raise

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "notebooks"
SECONDS = 600
"""Longest time that a cell may take."""

LINK = re.compile(r"<a href=[^>]*>(.*?)</a>")
"""A link to a file of the folder in which a notebook was executed, which is gone by then."""


def parser() -> Parser:
    """Return the parser of the command line."""
    p = Parser(description="Execute notebooks in an empty folder each and write their outputs into them.")
    p.add_argument("notebooks", nargs="*", type=Path, metavar="FILE", help="notebooks (default: those of docs/)")
    return p


def execute(path: Path) -> nbformat.NotebookNode:
    """Return a notebook with the outputs of a new kernel, which works in a separate folder.

    Args:
        path: The notebook.

    Raises:
        InkwellError: If it cannot be read, or a cell fails; the message says which error.
    """
    try:
        notebook = nbformat.read(path, as_version=4)
    except (OSError, ValueError) as error:
        raise InkwellError(f"cannot execute {path}: {error}; give a Jupyter notebook") from error
    with TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        try:
            quiet = ["--log-level=ERROR"]
            client = NotebookClient(notebook, timeout=SECONDS, extra_arguments=quiet, resources=resources)
            client.record_timing = False  # which would differ with every execution
            client.execute()
        except CellExecutionError as error:
            raise InkwellError(
                f"cannot execute {path}: a cell raised {error.ename}: {error.evalue}; mend it"
            ) from error
    notebook.metadata.language_info = {"name": "python"}  # not the versions of this machine
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if html := output.get("data", {}).get("text/html"):
                output["data"]["text/html"] = LINK.sub(r"\1", html)
    return notebook


def main() -> int:
    """Execute what the command line says; return the exit status."""
    for path in parser().parse().notebooks or sorted(FOLDER.glob("*.ipynb")):
        say(f"executing {path}")
        write_atomic(path, nbformat.writes(execute(path)) + "\n")
    return 0


if __name__ == "__main__":
    run_script(main)
