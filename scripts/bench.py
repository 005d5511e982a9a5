"""Benchmark Inkwell against Keras and PyTorch: `python scripts/bench.py speed --data mnist`."""

from __future__ import annotations

import json
import runpy
import signal
import sys
import tempfile
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

try:
    from scripts.benchmarks import NAMES
    from trainer.config.spec import parse_spec
    from trainer.console.cli import Parser, run_script
    from trainer.console.output import say, show
    from trainer.errors import InkwellError, UsageError, unknown
except ImportError:
    runpy.run_path(str(Path(__file__).with_name("guard.py")))  # says why
    raise

if TYPE_CHECKING:
    from argparse import Namespace


def parser() -> Parser:
    """Return the parser of the command line."""
    listed = "; ".join(f"{name}: {what}" for name, what in NAMES.items())
    p = Parser(description="Run benchmarks, all contenders taking turns in one run.", epilog=f"WHAT is {listed}.")
    p.add_argument("what", nargs="*", metavar="WHAT", help=f"{', '.join(NAMES)} (default: speed)")
    p.add_argument("--data", default="auto", metavar="NAME|PATH", help="training data (default: auto)")
    p.add_argument("--data-dir", default="data", metavar="DIR", help="folder of downloaded data (default: data)")
    p.add_argument("--model", default="lenet", metavar="NAME[:key=value,…]", help="architecture (default: lenet)")
    p.add_argument("--import", action="append", default=[], metavar="MODULE", help="import a module with models")
    p.add_argument("--batch-size", type=int, default=128, metavar="N", help="training batch size (default: 128)")
    p.add_argument("--steps", type=int, default=256, metavar="N", help="steps per round (default: 256)")
    p.add_argument("--rounds", type=int, metavar="N", help="rounds of measurements (default: set by each benchmark)")
    p.add_argument("--epochs", type=int, metavar="N", help="pairs of epochs of overhead, which are its rounds")
    p.add_argument("--only", action="append", default=[], metavar="NAME", help="a contender of speed; repeatable")
    p.add_argument("--quick", action="store_true", help="measure as little as possible, to check that everything runs")
    p.add_argument("--json", type=Path, metavar="FILE", help="write all numbers to a JSON file")
    p.add_argument("--png", type=Path, metavar="FILE", help="draw the chart of speed")
    return p


def check(args: Namespace) -> list[str]:
    """Return the benchmarks to run.

    Raises:
        UsageError: If an argument is invalid; nothing has been measured then.
    """
    names = list(dict.fromkeys(args.what or ["speed"]))
    for name in names:
        if name not in NAMES:
            raise unknown("benchmark", name, NAMES)
    for flag in ("batch_size", "steps", "rounds", "epochs"):
        value = getattr(args, flag)
        if value is not None and value < 1:
            raise UsageError(f"argument --{flag.replace('_', '-')}: must be at least 1, not {value} (see --help)")
    for flag, needed in (("png", "speed"), ("only", "speed"), ("epochs", "overhead")):
        if getattr(args, flag) and needed not in names:
            raise UsageError(f"--{flag} needs the benchmark {needed!r}; add it, or remove the flag (see --help)")
    for file in (args.json, args.png):
        if file is not None and not file.absolute().parent.is_dir():
            folder = file.absolute().parent
            raise UsageError(f"cannot write {file}: {folder} is not a folder; create it, or choose another")
    if args.png is not None and args.png.suffix.lower() != ".png":
        raise UsageError(f"cannot draw {args.png}: the name must end in .png")
    if args.png is not None and find_spec("matplotlib") is None:
        raise InkwellError('cannot draw a chart: Matplotlib is missing; python -m pip install -e ".[plots]"')
    return names


def options(args: Namespace, name: str) -> Any:
    """Return the options of the benchmark `name`."""
    model, arguments = parse_spec(args.model)
    return import_module("scripts.benchmarks.options").Options(
        data=args.data,
        data_dir=args.data_dir,
        model=model,
        args=arguments,
        spec=args.model,
        imports=tuple(getattr(args, "import")),
        batch_size=args.batch_size,
        steps=args.steps,
        rounds=args.epochs if name == "overhead" and args.epochs else args.rounds,
        only=tuple(args.only),
        quick=args.quick,
    )


def main() -> int:
    """Run the benchmarks of the command line; return the exit status."""
    args = parser().parse()
    names = check(args)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # ends contenders, deletes their files
    machine = import_module("scripts.benchmarks.machine")
    found: dict[str, Any] = {"machine": machine.describe(), "benchmarks": {}}
    for name in names:
        say(f"{name}: {NAMES[name]}")
        with tempfile.TemporaryDirectory(prefix="inkwell-", ignore_cleanup_errors=True) as folder:
            report = import_module(f"scripts.benchmarks.{name}").run(options(args, name), Path(folder))
        show(f"{report.text()}\n")
        found["benchmarks"][name] = report.data
        write(found, args)
    show(machine.sentence(found["machine"]))
    return 0


def write(found: dict[str, Any], args: Namespace) -> None:
    """Write the results so far to the requested files.

    Raises:
        InkwellError: If they cannot be written.
    """
    try:
        if args.json is not None:
            args.json.write_text(json.dumps(found, indent=2) + "\n")
        if args.png is not None and "speed" in found["benchmarks"]:
            import_module("scripts.benchmarks.chart").draw(found["benchmarks"]["speed"], args.png)
    except OSError as error:
        raise InkwellError(f"cannot write {error.filename}: {error.strerror}") from error


if __name__ == "__main__":
    run_script(main)
