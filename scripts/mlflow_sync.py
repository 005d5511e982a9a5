"""Upload whatever MLflow is missing from finished runs: `python scripts/mlflow_sync.py runs/NAME`."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

try:
    from plugins.mlflow.mirror import reason
    from plugins.mlflow.sync import Busy, behind, bring_up_to_date
    from trainer.console.cli import Parser, run_script
    from trainer.errors import InkwellError, UsageError
    from trainer.run import process_facts
    from trainer.runs.directory import RUN
    from trainer.text import program
except ImportError:
    runpy.run_path(str(Path(__file__).with_name("guard.py")))  # says why
    raise


def parser() -> Parser:
    """Return the parser of the command line."""
    p = Parser(description="Upload whatever MLflow is missing from finished runs; nothing is sent twice.")
    p.add_argument("run", nargs="*", type=Path, help="run directories (all that use MLflow and are not wholly in it)")
    p.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="where runs are looked for (runs)")
    p.add_argument("--uri", metavar="URI", help="tracking URI (where the runs were to be mirrored)")
    return p


def sync(run_dir: Path, uri: str | None) -> bool:
    """Bring a run up to date and say so; return whether that went well."""
    try:
        sent = bring_up_to_date(run_dir, uri)
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
        if not (run_dir / RUN).is_file():
            raise UsageError(f"{run_dir} is not a run directory: it has no {RUN}")
    runs = args.run or list(behind(args.runs, process_facts()["host"], models=True))
    if not runs:
        print(f"MLflow has every run under {args.runs} that is over and was to be mirrored")
    failed = [run_dir for run_dir in runs if not sync(run_dir, args.uri)]
    return 1 if failed else 0


if __name__ == "__main__":
    run_script(main)
