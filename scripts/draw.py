"""Serve a page to draw digits on, read as they are drawn: `python scripts/draw.py`."""

from __future__ import annotations

import runpy
from argparse import Namespace
from pathlib import Path

try:
    from trainer.console.starting import starting

    if __name__ == "__main__":
        starting()
    from scripts.page import limits
    from trainer.console.cli import Parser, run_script
    from trainer.errors import UsageError
    from trainer.export import check_export
    from trainer.runs.find import find_checkpoint, newest_checkpoint
    from trainer.text import in_bytes
except ImportError:
    runpy.run_path(str(Path(__file__).with_name("guard.py")))  # says why
    raise


def parser() -> Parser:
    """Return the parser of the command line."""
    p = Parser(description="Serve a page on which drawn digits and photos of them are read.")
    model = p.add_mutually_exclusive_group()
    run = "run directory or checkpoint (default: the newest finished run)"
    model.add_argument("--run", type=Path, metavar="DIR", help=run)
    model.add_argument("--recognizer", type=Path, metavar="DIR", help="folder written by export.py, instead of a run")
    p.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="folder of the runs (default: runs)")
    host = (
        "address or network interface to serve on, 0.0.0.0 for all; other machines need the token that is printed "
        "(default: 127.0.0.1, this machine only)"
    )
    p.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help=host)
    p.add_argument("--port", type=int, default=8000, metavar="N", help="port; 0 for any free one (default: 8000)")
    most = f"at most {limits.INBOX_FILES:,} files and {in_bytes(limits.INBOX_BYTES)}"
    inbox = f"folder for the drawings that are kept, {most} (default: inbox)"
    p.add_argument("--inbox", type=Path, default=Path("inbox"), metavar="DIR", help=inbox)
    p.add_argument("--open", action="store_true", help="open the page in the browser")
    modules = "module that registers parts of the model; may be repeated"
    p.add_argument("--import", action="append", default=[], metavar="MODULE", help=modules)
    return p


def source(args: Namespace) -> Path:
    """Return the path of the model; one that is missing or of another layout is refused before a page is served.

    Raises:
        UsageError: If it is not a run directory, checkpoint or export.
        InkwellError: If it is damaged.
    """
    if args.recognizer is not None:
        return check_export(args.recognizer)
    if args.run is None:
        return newest_checkpoint(args.runs).parents[1]
    find_checkpoint(args.run)
    run: Path = args.run
    return run


def main() -> int:
    """Serve as the command line says, until Ctrl-C; return the exit status."""
    args = parser().parse()
    if not 0 <= args.port < 2**16:
        raise UsageError(f"argument --port: must be from 0 to 65535, not {args.port} (see --help)")
    recognizer = source(args)
    from scripts.page.inbox import tidy
    from scripts.page.server import serve

    tidy(args.inbox)
    serve(recognizer, args.inbox, args.host, args.port, args.open, getattr(args, "import"))
    return 0


if __name__ == "__main__":
    run_script(main)
