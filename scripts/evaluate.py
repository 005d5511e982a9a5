"""Evaluate a run or checkpoint on any data: `python scripts/evaluate.py runs/NAME --data mnist`."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

try:
    from trainer.cli import Parser, run_script
except ModuleNotFoundError as error:
    sys.exit(f"evaluate.py: {error.name} is not installed; run: python -m pip install -e {Path(__file__).parents[1]}")

import models  # noqa: F401  (fills the table of models)
from trainer.assemble import load_data
from trainer.data.sources import check_source
from trainer.errors import DataError
from trainer.restore import find_checkpoint, load_trained
from trainer.rundir import newest_done
from trainer.summary import class_table, table, test_rows


def parser() -> Parser:
    """Return the parser of the command line."""
    p = Parser(description="Evaluate a trained model.")
    p.add_argument("run", nargs="?", type=Path, help="run directory or checkpoint (the newest finished run)")
    p.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="where runs are looked for (runs)")
    p.add_argument("--data", metavar="NAME|PATH", help="data source (that of the run)")
    p.add_argument("--data-dir", metavar="DIR", help="where data lie (that of the run)")
    p.add_argument("--split", choices=("train", "validation", "test"), default="test", help="which images (test)")
    return p


def main() -> int:
    """Evaluate as the command line says; return the exit status."""
    args = parser().parse()
    if args.data is not None:
        check_source(args.data, Path(args.data_dir or "data"))
    path = find_checkpoint(args.run or newest_done(args.runs))
    trained = load_trained(path)
    changes = {"name": args.data, "folder": args.data_dir, "test": None if args.data is None else ""}
    wanted = {key: value for key, value in changes.items() if value is not None}
    config = dataclasses.replace(trained.config.data, **wanted)
    data = load_data(dataclasses.replace(config, test=config.test or None), trained.config.training.seed)
    if list(data.input_shape) != trained.data["input_shape"] or data.num_classes != len(trained.data["class_names"]):
        raise DataError(
            f"{data.name} has images {data.input_shape} of {data.num_classes} classes, the model was trained on "
            f"{tuple(trained.data['input_shape'])} of {len(trained.data['class_names'])}"
        )
    from trainer.registry import tasks
    from trainer.trainer import Trainer

    images = getattr(data, args.split)
    task = tasks.build(trained.config.task.name, **trained.config.task.args)
    numbers = Trainer(trained.model, task=task).evaluate(images)
    rows = [("checkpoint", str(path)), ("data", f"{data.name}, {args.split} split: {len(images):,} images")]
    print(table([*rows, *test_rows(numbers, args.split)]))
    if "per_class" in numbers:
        print(class_table(numbers["per_class"], data.class_names))
    return 0


if __name__ == "__main__":
    run_script(main)
