"""Combine trained models into one: `python scripts/ensemble.py runs/a runs/b --run-dir runs/ab`."""

from __future__ import annotations

import runpy
from pathlib import Path

try:
    from trainer.console.starting import starting

    if __name__ == "__main__":
        starting()
    from models.ensemble.combine import combine
    from trainer.console.cli import Parser, run_script
    from trainer.console.output import show
    from trainer.console.tables import result_table
    from trainer.runs.directory import default_name
    from trainer.stage import Stage
    from trainer.text import count, printable
except ImportError:
    runpy.run_path(str(Path(__file__).with_name("guard.py")))  # says why
    raise


def parser() -> Parser:
    """Return the parser of the command line."""
    p = Parser(description="Average the probabilities of trained models; the result is a run like any other.")
    p.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run directory or checkpoint")
    p.add_argument("--shift", type=int, default=0, metavar="N", help="average over shifts by N pixels too (0)")
    p.add_argument("--run-dir", type=Path, metavar="DIR", help="must not exist (runs/ensemble-<date>-<time>)")
    modules = "module that registers parts of the models; may be repeated"
    p.add_argument("--import", action="append", default=[], metavar="MODULE", help=modules)
    return p


def main() -> int:
    """Combine as the command line says; return the exit status."""
    args = parser().parse()
    run_dir = args.run_dir or Path("runs") / default_name("ensemble")
    with Stage(f"combining {count(len(args.runs), 'model')}"):
        run = combine(args.runs, run_dir, args.shift, getattr(args, "import"))
    show(result_table(run.result))
    show(f"run directory   {printable(run_dir)}")
    return 0


if __name__ == "__main__":
    run_script(main)
