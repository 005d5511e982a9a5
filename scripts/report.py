"""Rewrite the report of a run: `python scripts/report.py runs/NAME`."""

from __future__ import annotations

import runpy
from pathlib import Path

try:
    from trainer.console.starting import starting

    if __name__ == "__main__":
        starting()
    from trainer.console.cli import Parser, run_script
    from trainer.console.output import say, show
    from trainer.console.style import link
    from trainer.files import check_folder
    from trainer.registry import import_ours
    from trainer.runs.files import RunFiles
    from trainer.runs.find import newest_done
    from trainer.runs.imports import import_named
    from trainer.stage import Stage
    from trainer.text import printable, program
except ImportError:
    runpy.run_path(str(Path(__file__).with_name("guard.py")))  # says why
    raise


def parser() -> Parser:
    """Return the parser of the command line."""
    p = Parser(description="Rewrite the report of a run: tables, charts, page and model card.")
    run = "run directory (default: the newest finished run)"
    p.add_argument("run", nargs="?", type=Path, metavar="RUN_DIR", help=run)
    p.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="folder of the runs (default: runs)")
    modules = "module that registers parts of the model; may be repeated"
    p.add_argument("--import", action="append", default=[], metavar="MODULE", help=modules)
    return p


def main() -> int:
    """Rewrite the report as the command line says; return the exit status."""
    args = parser().parse()
    import_named(getattr(args, "import"))
    folder = args.run or newest_done(args.runs)
    check_folder(RunFiles(folder).report, "folder", "make it writable")
    import_ours("plugins")
    with Stage("writing the report"):
        from plugins.report.rebuild import rebuild

        page, missed = rebuild(folder, getattr(args, "import"))
    for line in missed:
        say(f"{program()}: {line}")
    show(link(printable(page), page.absolute().as_uri()), as_is=True)
    return 0


if __name__ == "__main__":
    run_script(main)
