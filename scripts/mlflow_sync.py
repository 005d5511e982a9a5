"""Upload whatever MLflow is missing from finished runs: `python scripts/mlflow_sync.py runs/NAME`."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

try:
    from plugins.mlflow.mirror import reason
    from plugins.mlflow.sync import Busy, behind, bring_up_to_date
    from trainer.console.cli import Parser, run_script
    from trainer.errors import InkwellError
    from trainer.runs.files import RunFiles
    from trainer.text import program
except ImportError:
    runpy.run_path(str(Path(__file__).with_name("guard.py")))  # says why
    raise


def parser() -> Parser:
    """Return the parser of the command line."""
    p = Parser(description="Upload whatever MLflow is missing from finished runs; nothing is sent twice.")
    p.add_argument(
        "run", nargs="*", type=Path, help="run directories (default: all that MLflow is missing something of)"
    )
    p.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="folder of the runs (default: runs)")
    p.add_argument("--uri", metavar="URI", help="tracking URI (default: that of each run)")
    p.add_argument("--experiment", metavar="NAME", help="experiment to log to (default: that of each run)")
    return p


def sync(run_dir: Path, uri: str | None, experiment: str | None) -> bool:
    """Bring a run up to date and say so; return whether that went well."""
    try:
        sent = bring_up_to_date(run_dir, uri, experiment)
    except Busy as error:
        print(f"{program()}: {error}", file=sys.stderr)
        return True
    except InkwellError as error:
        print(f"{program()}: error: {run_dir}: {error}", file=sys.stderr)
        return False
    except Exception as error:  # MLflow, its store and its server may raise anything
        print(f"{program()}: error: {run_dir}: {reason(error)}", file=sys.stderr)
        return False
    print(f"{run_dir}: {'sent' if sent else 'nothing to send'}")
    return True


def main() -> int:
    """Bring the runs that the command line names up to date; return the exit status."""
    args = parser().parse()
    for run_dir in args.run:
        RunFiles(run_dir)  # a wrong one is told before anything is sent
    runs = args.run or list(behind(args.runs, models=True))
    if not runs:
        print(f"MLflow has every run under {args.runs} that is over and was to be mirrored")
    failed = [run_dir for run_dir in runs if not sync(run_dir, args.uri, args.experiment)]
    return 1 if failed else 0


if __name__ == "__main__":
    run_script(main)
