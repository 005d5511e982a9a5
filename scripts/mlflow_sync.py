"""Upload whatever MLflow is missing from finished runs: `python scripts/mlflow_sync.py runs/NAME`."""

from __future__ import annotations

import runpy
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

try:
    from trainer.console.starting import starting

    if __name__ == "__main__":
        starting()
    from plugins.mlflow.mirror import reason
    from plugins.mlflow.names import registered_name
    from plugins.mlflow.store import Store
    from plugins.mlflow.sync import Busy, Elsewhere, asked, behind, bring_up_to_date, check_own, unregistered
    from trainer.console.cli import Parser, run_script
    from trainer.console.output import say, say_error, show
    from trainer.errors import UsageError
    from trainer.runs.files import RunFiles
    from trainer.runs.imports import import_named
    from trainer.stage import Stage
    from trainer.text import printable, program
except ImportError:
    runpy.run_path(str(Path(__file__).with_name("guard.py")))  # says why
    raise

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator


def parser() -> Parser:
    """Return the parser of the command line."""
    p = Parser(description="Upload whatever MLflow is missing from finished runs; nothing is sent twice.")
    p.add_argument("run", nargs="*", type=Path, help="run directories (default: all that MLflow does not have in full)")
    p.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="folder of the runs (default: runs)")
    p.add_argument(
        "--uri", metavar="URI", help="tracking URI (default: MLFLOW_TRACKING_URI, else the store beside the runs)"
    )
    experiment = "experiment to log to; runs logged elsewhere are logged again (default: that of each run)"
    p.add_argument("--experiment", metavar="NAME", default="", help=experiment)
    p.add_argument("--register", metavar="NAME", default="", help="register the model as a new version of this name")
    modules = "module that registers parts of models; may be repeated"
    p.add_argument("--import", action="append", default=[], metavar="MODULE", help=modules)
    return p


def store_of(run_dir: Path, uri: str | None) -> Store:
    """Return the store to send a run to: the one that the user named, never one that its directory names.

    Raises:
        Elsewhere: If the command line names no store, and the run directory names another than the user's own.
    """
    store = Store.own(uri, run_dir.absolute().parent)
    if not uri:
        check_own(run_dir, store)
    return store


def found(root: Path, uri: str | None) -> Iterator[Path]:
    """Yield the runs under `root` to send; say which ones are damaged or belong to other stores."""

    def tell(line: str) -> None:
        say(f"{program()}: {line}")

    for run_dir in behind(root, tell):
        try:
            check_own(run_dir, Store.own(uri, root))
        except Elsewhere as error:
            tell(f"skipped: {error}")
        else:
            yield run_dir


def sync(run_dir: Path, store: Store, args: Namespace) -> bool:
    """Bring a run up to date in MLflow and say so; return True if that succeeded."""
    imports = getattr(args, "import")
    try:
        asked_for = asked(run_dir, args.register)
        with Stage(f"uploading {run_dir} to MLflow"):
            sent = bring_up_to_date(run_dir, store, asked_for, imports=imports, experiment=args.experiment)
    except Busy as error:
        say(f"{program()}: {error}")
        return True
    except Exception as error:  # MLflow, its store and its server may raise anything
        say_error(f"{run_dir}: {reason(error)}")
        return False
    show(printable(f"{run_dir}: {'sent' if sent else 'nothing to send'}"))
    name = unregistered(run_dir)
    if name and not args.register:
        flag = f"--register {shlex.quote(name)}"
        say(f"{program()}: {run_dir}: its model is not registered; to register it, add {flag}")
    return True


def main() -> int:
    """Bring the runs that the command line names up to date; return the exit status."""
    args = parser().parse()
    import_named(getattr(args, "import"))
    if args.register and not args.run:
        raise UsageError("--register needs a run; name the one whose model to register")
    try:
        registered_name(args.register)
    except ValueError as error:
        raise UsageError(f"--register: {error}") from None
    for run_dir in args.run:
        RunFiles(run_dir)  # a wrong one is refused before anything is sent
    stores = {run_dir: store_of(run_dir, args.uri) for run_dir in args.run or found(args.runs, args.uri)}
    if not stores:
        store = Store.own(args.uri, args.runs).shown
        show(
            printable(f"nothing to send: {store} has every finished run under {args.runs} that uses the plugin mlflow")
        )
    failed = [run_dir for run_dir, store in stores.items() if not sync(run_dir, store, args)]
    return 1 if failed else 0


if __name__ == "__main__":
    run_script(main)
