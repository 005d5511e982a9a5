"""Read digits in pictures: `python scripts/predict.py digit.png`; numbers too: `--many page.jpg`."""

from __future__ import annotations

import argparse
import runpy
from pathlib import Path
from typing import TYPE_CHECKING

try:
    from trainer.console.starting import starting

    if __name__ == "__main__":
        starting()
    from trainer.console.cli import Parser, run_script
    from trainer.console.output import is_read, say, show
    from trainer.errors import DataError, UsageError
    from trainer.runs.find import find_checkpoint, newest_checkpoint
    from trainer.stage import Stage
    from trainer.text import program
except ImportError:
    runpy.run_path(str(Path(__file__).with_name("guard.py")))  # says why
    raise

if TYPE_CHECKING:
    from models.recognizer import Recognizer


def parser() -> Parser:
    """Return the parser of the command line."""
    p = Parser(description="Read the digit in each picture, or say why there is none.")
    p.add_argument("files", nargs="+", type=Path, metavar="FILE", help="picture, folder of pictures, or - for stdin")
    model = p.add_mutually_exclusive_group()
    model.add_argument("--run", type=Path, metavar="DIR", help="run directory or checkpoint (the newest finished run)")
    model.add_argument("--recognizer", type=Path, metavar="DIR", help="what scripts/export.py wrote")
    p.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="where runs are looked for (runs)")
    p.add_argument("--many", action="store_true", help="find all digits, and print the numbers that they make")
    p.add_argument("--format", choices=("table", "jsonl", "csv"), default="table", help="of what is printed (table)")
    what = "write a picture of what the model saw, or with --many of what was found (explained)"
    p.add_argument("--explain", nargs="?", type=Path, const=Path("explained"), metavar="DIR", help=what)
    modules = "module that registers parts of the model; may be repeated"
    p.add_argument("--import", action="append", default=[], metavar="MODULE", help=modules)
    return p


def source(args: argparse.Namespace) -> Path:
    """Return where the model lies; wrong paths end here, before anything is loaded."""
    if args.explain and args.explain.exists() and not args.explain.is_dir():
        raise UsageError(f"--explain {args.explain} is not a folder; write the pictures to read before --explain")
    if args.recognizer is None:
        return find_checkpoint(args.run) if args.run else newest_checkpoint(args.runs)
    from models.recognizer.source import is_export

    if not is_export(args.recognizer):
        raise UsageError(f"{args.recognizer} is no export: it has no spec.json; write one with scripts/export.py")
    return args.recognizer


def main() -> int:
    """Print what is read in each picture; return 1 if one cannot be decoded."""
    args = parser().parse()
    path = source(args)
    with Stage("loading the model"):
        from models.recognizer import Recognizer
        from models.recognizer.files import header

        recognizer = Recognizer.load(path, getattr(args, "import"))
    if first := header(args.format, args.many, recognizer.class_names):
        show(first, as_is=True)
    bad = predict_all(recognizer, args)
    return int(bad > 0)


def predict_all(recognizer: Recognizer, args: argparse.Namespace) -> int:
    """Print what is read in all pictures, folder by folder; return how many of them cannot be decoded."""
    from models.recognizer.files import expanded

    queue, bad = list(args.files), 0
    with Stage("reading pictures", len(queue), "pictures") as progress:
        while queue and (args.explain or is_read()):
            file = queue.pop(0)
            try:
                if (images := expanded(file)) == [file]:
                    predict(recognizer, file, args)
                    progress.done += 1
                else:
                    queue[:0] = images
            except DataError as error:
                say(f"{program()}: {error}")
                bad += 1
                progress.done += 1
            progress.total = progress.done + len(queue)
    return bad


def predict(recognizer: Recognizer, file: Path, args: argparse.Namespace) -> None:
    """Print what is read in one picture, and write the picture that explains it, if asked for."""
    from models.recognizer import open_picture
    from models.recognizer.explain import boxed, explained, saved
    from models.recognizer.files import content, many_lines, one_line

    picture = open_picture(content(file), "standard input")
    for_program = args.format != "table"
    if args.many:
        lines = recognizer.read_many(picture)
        show(many_lines(args.format, str(file), lines), as_is=for_program)
        image = boxed(picture, lines) if args.explain else None
    else:
        (reading,) = recognizer.read([picture])
        show(one_line(args.format, str(file), reading), as_is=for_program)
        image = explained(picture, reading, recognizer) if args.explain else None
    if image:
        saved(image, args.explain, file)


if __name__ == "__main__":
    run_script(main)
