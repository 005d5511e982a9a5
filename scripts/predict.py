"""Read digits in image files: `python scripts/predict.py digit.png`."""

from __future__ import annotations

import sys
from pathlib import Path

try:
    import models  # noqa: F401  (fills the table of models)
    from trainer.cli import Parser, run_script
    from trainer.errors import DataError
    from trainer.restore import find_checkpoint
    from trainer.rundir import newest_done
except ModuleNotFoundError as error:
    sys.exit(f"predict.py: Inkwell is not installed (no {error.name}); run in its folder: python -m pip install -e .")


def parser() -> Parser:
    """Return the parser of the command line."""
    p = Parser(description="Read the digit in each image file.")
    p.add_argument("files", nargs="+", type=Path, metavar="FILE", help="PNG, JPEG, BMP, GIF or WebP")
    p.add_argument("--run", type=Path, metavar="DIR", help="run directory or checkpoint (the newest finished run)")
    p.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="where runs are looked for (runs)")
    return p


def main() -> int:
    """Print a line for each file that can be read; return 1 if one cannot."""
    args = parser().parse()
    path = find_checkpoint(args.run or newest_done(args.runs))
    from models.recognizer import Recognizer

    recognizer = Recognizer.load(path)
    images, status = {}, 0
    for file in args.files:
        try:
            images[file] = recognizer.prepare(file)
        except DataError as error:
            print(f"predict.py: {error}", file=sys.stderr)
            status = 1
    for file, reading in zip(images, recognizer.read(list(images.values())) if images else [], strict=True):
        print(f"{file}  {reading.name}  {100 * reading.probability:.1f} %")
    return status


if __name__ == "__main__":
    run_script(main)
