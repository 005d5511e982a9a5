"""Combine trained models into one: `python scripts/ensemble.py runs/a runs/b --run-dir runs/ab`."""

from __future__ import annotations

import runpy
from pathlib import Path

try:
    from trainer.console.starting import starting

    if __name__ == "__main__":
        starting()
    from trainer.console.cli import Parser, run_script
    from trainer.console.output import show
    from trainer.registry import import_ours
    from trainer.runs.directory import check_free, default_name
    from trainer.runs.find import find_checkpoint
    from trainer.stage import Stage
    from trainer.text import count
except ImportError:
    runpy.run_path(str(Path(__file__).with_name("guard.py")))  # says why
    raise


def parser() -> Parser:
    """Return the parser of the command line."""
    p = Parser(description="Average the probabilities of trained models; the ensemble is a run like any other.")
    p.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run directory or checkpoint")
    p.add_argument(
        "--shift", type=int, default=0, metavar="N", help="also average over shifts by N pixels (default: 0)"
    )
    where = "run directory, which must not exist (default: runs/ensemble-<date>-<time>)"
    p.add_argument("--run-dir", type=Path, metavar="DIR", help=where)
    modules = "module that registers parts of the models; may be repeated"
    p.add_argument("--import", action="append", default=[], metavar="MODULE", help=modules)
    return p


def main() -> int:
    """Combine as the command line says; return the exit status."""
    args = parser().parse()
    import_ours("models")
    run_dir = args.run_dir or Path("runs") / default_name("ensemble")
    check_free(run_dir)
    for run in args.runs:
        find_checkpoint(run)
    with Stage(f"combining {count(len(args.runs), 'model')}"):
        from models.ensemble.combine import combine
        from trainer.console.ending import ending, next_steps

        made = combine(args.runs, run_dir, args.shift, getattr(args, "import"))
    show(ending(made.result, made.data, run_dir, next_steps(run_dir, made.data)), as_is=True)
    return 0


if __name__ == "__main__":
    run_script(main)
