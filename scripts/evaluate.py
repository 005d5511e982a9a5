"""Evaluate a run or checkpoint on any data: `python scripts/evaluate.py runs/NAME --data mnist`."""

from __future__ import annotations

import sys
from pathlib import Path

try:
    import models  # noqa: F401  (fills the table of models)
    from trainer.cli import Parser, run_script
    from trainer.data.sources import check_source
    from trainer.restore import load_trained
    from trainer.rundir import newest_done
    from trainer.summary import class_table, score_rows, table
except ModuleNotFoundError as error:
    sys.exit(f"evaluate.py: Inkwell is not installed (no {error.name}); run in its folder: python -m pip install -e .")


def parser() -> Parser:
    """Return the parser of the command line."""
    p = Parser(description="Evaluate a trained model.")
    p.add_argument("run", nargs="?", type=Path, help="run directory or checkpoint (the newest finished run)")
    p.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="where runs are looked for (runs)")
    p.add_argument("--data", metavar="NAME|PATH", help="data source (that of the run)")
    p.add_argument("--data-dir", metavar="DIR", help="where data lie (that of the run)")
    parts = ("train", "validation", "test")
    p.add_argument("--split", choices=parts, default="test", help="which of the run's own images (test)")
    return p


def main() -> int:
    """Evaluate as the command line says; return the exit status."""
    args = parser().parse()
    if args.data is not None:
        check_source(args.data, Path(args.data_dir or "data"))
    trained = load_trained(args.run or newest_done(args.runs))
    what, images, notices = trained.images(args.data, args.data_dir, args.split)
    for notice in notices:
        print(f"evaluate.py: {notice}", file=sys.stderr)
    from trainer.registry import tasks
    from trainer.trainer import Trainer

    task = tasks.build(trained.config.task.name, **trained.config.task.args)
    numbers = Trainer(trained.model, task=task).evaluate(images, trained.temperature)
    print(table([("checkpoint", str(trained.path)), ("data", f"{what}: {len(images):,}"), *score_rows(numbers)]))
    if "per_class" in numbers:
        print(class_table(numbers["per_class"], trained.data["class_names"]))
    return 0


if __name__ == "__main__":
    run_script(main)
