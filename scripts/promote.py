"""Make a version of a registered model the champion: `python scripts/promote.py digits`."""

from __future__ import annotations

import runpy
from pathlib import Path

try:
    from trainer.console.starting import starting

    if __name__ == "__main__":
        starting()
    from plugins.mlflow.model import promote
    from plugins.mlflow.store import Store
    from trainer.console.cli import Parser, run_script
    from trainer.console.output import show
    from trainer.text import printable
except ImportError:
    runpy.run_path(str(Path(__file__).with_name("guard.py")))  # says why
    raise


def parser() -> Parser:
    """Return the parser of the command line."""
    p = Parser(description="Make a version of a registered model the champion, models:/NAME@champion.")
    p.add_argument("name", metavar="NAME", help="registered model, as named by fit.py --register")
    p.add_argument("--version", metavar="N", help="version (default: the one with the alias challenger)")
    uri = "tracking URI (default: MLFLOW_TRACKING_URI, else the store beside the runs)"
    p.add_argument("--uri", metavar="URI", help=uri)
    p.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="folder of the runs (default: runs)")
    return p


def main() -> int:
    """Promote as the command line says; return the exit status."""
    args = parser().parse()
    store = Store.own(args.uri, args.runs)
    before, now = promote(store, args.name, args.version)
    was = {None: "the first one", now: "as before"}.get(before, f"instead of version {before}")
    show(printable(f"{args.name}: version {now} is the champion, {was}"))
    return 0


if __name__ == "__main__":
    run_script(main)
