"""Take the pictures of the documentation from the real thing: `python scripts/pictures.py`."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

try:
    from trainer.console.cli import Parser, run_script
    from trainer.console.output import say, show
    from trainer.errors import InkwellError, UsageError, unknown
    from trainer.files import scratch
except ImportError:
    runpy.run_path(str(Path(__file__).with_name("guard.py")))  # says why
    raise

if TYPE_CHECKING:
    from scripts.gallery.workshop import Workshop

ROOT = Path(__file__).resolve().parents[1]
SUBJECTS = {
    "terminal": "commands",
    "page": "drawing",
    "report": "report",
    "notebook": "notebooks",
    "mlflow": "tracking",
    "readme": "front",
}
"""The subjects, and the file of `scripts/gallery/` that takes their pictures; the README last, as it shows others."""


def parser() -> Parser:
    """Return the parser of the command line."""
    p = Parser(description="Take the pictures of the documentation: real commands, real pages.")
    p.add_argument("subjects", nargs="*", metavar="NAME", help=f"what to show: {', '.join(SUBJECTS)} (default: all)")
    p.add_argument(
        "--to",
        type=Path,
        default=ROOT / "docs" / "pictures",
        metavar="DIR",
        help="output folder (default: docs/pictures)",
    )
    p.add_argument("--mnist", type=Path, metavar="DIR", help="folder of the MNIST files (default: embedded images)")
    return p


def main() -> int:
    """Take the pictures that the command line asks for; return the exit status."""
    args = parser().parse()
    for name in args.subjects:
        if name not in SUBJECTS:
            raise unknown("picture", name, SUBJECTS)
    if args.mnist and not args.mnist.is_dir():
        raise UsageError(f"cannot train on {args.mnist}: not a folder; name the folder of the MNIST files")
    try:
        from scripts.gallery import png
        from scripts.gallery.browser import chromium
        from scripts.gallery.workshop import Workshop

        takers = {name: _taker(name) for name in args.subjects or SUBJECTS}
    except ImportError as error:
        missing = f"{error.name} is missing" if error.name else str(error)
        raise InkwellError(f'cannot take pictures: {missing}; python -m pip install -e ".[pictures]"') from error
    args.to.mkdir(parents=True, exist_ok=True)
    with scratch() as folder, chromium() as browser:
        workshop = Workshop(folder, browser, args.mnist)
        for name, take in takers.items():
            say(f"taking pictures: {name}")
            for title, picture in take(workshop):
                path = args.to / f"{title}.png"
                png.write(picture, path)
                show(str(path))
    return 0


def _taker(name: str) -> Callable[[Workshop], Iterator[tuple[str, bytes]]]:
    taker: Callable[[Workshop], Iterator[tuple[str, bytes]]]
    taker = import_module(f"scripts.gallery.{SUBJECTS[name]}").pictures
    return taker


if __name__ == "__main__":
    run_script(main)
