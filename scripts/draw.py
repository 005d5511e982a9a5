"""Serve a page to draw digits on, read as they are drawn: `python scripts/draw.py`."""

from __future__ import annotations

import runpy
from pathlib import Path

try:
    from trainer.console.starting import starting

    if __name__ == "__main__":
        starting()
    from scripts.page import limits
    from trainer.console.cli import Parser, run_script
    from trainer.errors import UsageError
    from trainer.runs.files import RunFiles, is_run
    from trainer.runs.find import newest_checkpoint
    from trainer.text import in_bytes
except ImportError:
    runpy.run_path(str(Path(__file__).with_name("guard.py")))  # says why
    raise


def parser() -> Parser:
    """Return the parser of the command line."""
    p = Parser(description="Serve a page on which drawn digits and photos of them are read.")
    model = p.add_mutually_exclusive_group()
    model.add_argument("--run", type=Path, metavar="DIR", help="run directory or checkpoint (the newest finished run)")
    model.add_argument("--recognizer", type=Path, metavar="DIR", help="exported folder, instead of a run")
    p.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="where runs are looked for (runs)")
    p.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address or network interface of this machine to serve others at, who need the token that is printed; "
        "0.0.0.0 is all (127.0.0.1, this machine only)",
    )
    p.add_argument("--port", type=int, default=8000, metavar="N", help="port; 0 takes a free one (8000)")
    p.add_argument(
        "--inbox",
        type=Path,
        default=Path("inbox"),
        metavar="DIR",
        help=f"where drawings are kept, up to {limits.INBOX_FILES:,} files and {in_bytes(limits.INBOX_BYTES)} (inbox)",
    )
    p.add_argument("--open", action="store_true", help="open the page in the browser")
    modules = "module that registers parts of the model; may be repeated"
    p.add_argument("--import", action="append", default=[], metavar="MODULE", help=modules)
    return p


def main() -> int:
    """Serve as the command line says, until Ctrl-C; return the exit status."""
    args = parser().parse()
    if not 0 <= args.port < 2**16:
        raise UsageError(f"argument --port: must be from 0 to 65535, not {args.port} (see --help)")
    recognizer = args.recognizer or args.run or newest_checkpoint(args.runs).parents[1]
    if not recognizer.is_dir():
        raise UsageError(f"{recognizer} is no folder")
    if is_run(recognizer):
        RunFiles(recognizer)  # one of another layout is refused before a page is served
    from scripts.page.inbox import tidy
    from scripts.page.server import serve

    tidy(args.inbox)
    serve(recognizer, args.inbox, args.host, args.port, args.open, getattr(args, "import"))
    return 0


if __name__ == "__main__":
    run_script(main)
