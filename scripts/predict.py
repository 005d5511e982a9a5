"""Read digits in pictures: `python scripts/predict.py digit.png`; numbers too: `--many page.jpg`."""

from __future__ import annotations

import argparse
import os
import runpy
from pathlib import Path
from typing import TYPE_CHECKING

try:
    from trainer.console.starting import starting

    if __name__ == "__main__":
        starting()
    from trainer.console.cli import Parser, run_script
    from trainer.console.output import is_read, say, show
    from trainer.errors import DataError
    from trainer.export import check_export
    from trainer.files import check_folder
    from trainer.registry import import_ours
    from trainer.runs.find import find_checkpoint, newest_checkpoint
    from trainer.stage import Stage
    from trainer.text import program
except ImportError:
    runpy.run_path(str(Path(__file__).with_name("guard.py")))  # says why
    raise

if TYPE_CHECKING:
    from models.recognizer import Recognizer


STDIN = Path("-")


def parser() -> Parser:
    """Return the parser of the command line."""
    p = Parser(description="Read the digit in each picture, or say why it is refused.")
    p.add_argument("files", nargs="+", type=Path, metavar="FILE", help="picture, folder of pictures, or - for stdin")
    model = p.add_mutually_exclusive_group()
    run = "run directory or checkpoint (default: the newest finished run)"
    model.add_argument("--run", type=Path, metavar="DIR", help=run)
    model.add_argument("--recognizer", type=Path, metavar="DIR", help="folder written by export.py, instead of a run")
    p.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="folder of the runs (default: runs)")
    p.add_argument("--many", action="store_true", help="find all digits and print the numbers they form")
    p.add_argument(
        "--format", choices=("table", "jsonl", "csv"), default="table", help="output format (default: table)"
    )
    what = "also write pictures of what the model saw, or with --many of what it found (default: explained)"
    p.add_argument("--explain", nargs="?", type=Path, const=Path("explained"), metavar="DIR", help=what)
    modules = "module that registers parts of the model; may be repeated"
    p.add_argument("--import", action="append", default=[], metavar="MODULE", help=modules)
    return p


def source(args: argparse.Namespace) -> Path:
    """Return the path of the model; wrong paths end here, before anything is loaded."""
    if args.explain:
        check_folder(args.explain, "folder", "name another with --explain, after the pictures to read")
    if args.recognizer is None:
        return find_checkpoint(args.run) if args.run else newest_checkpoint(args.runs)
    return check_export(args.recognizer)


def there(files: list[Path]) -> list[Path]:
    """Return the files that exist, and say which do not."""
    missing = [file for file in files if file != STDIN and not os.path.lexists(file)]
    for file in missing:
        say(f"{program()}: {file}: No such file or directory")
    return [file for file in files if file not in missing]


def main() -> int:
    """Print what is read in each picture; return 1 if one is missing or cannot be decoded."""
    args = parser().parse()
    path, files = source(args), there(args.files)
    if not files:
        return 1
    import_ours("models")
    with Stage("loading the model"):
        from models.recognizer import Recognizer
        from models.recognizer.files import header

        recognizer = Recognizer.load(path, getattr(args, "import"))
    if first := header(args.format, args.many, recognizer.class_names):
        show(first, as_is=True)
    bad = len(args.files) - len(files) + predict_all(recognizer, files, args)
    return int(bad > 0)


def predict_all(recognizer: Recognizer, files: list[Path], args: argparse.Namespace) -> int:
    """Print what is read in all pictures, folder by folder; return how many of them cannot be decoded."""
    from models.recognizer.files import expanded

    queue, bad = list(files), 0
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
