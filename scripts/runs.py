"""Show runs as a table: `python scripts/runs.py --sort test_accuracy --filter model=lenet`."""

from __future__ import annotations

import runpy
from pathlib import Path

try:
    from trainer.console.starting import starting

    if __name__ == "__main__":
        starting()
    from trainer.console.cli import Parser, run_script
    from trainer.console.listing import FORMATS, listing
    from trainer.console.output import say, show
    from trainer.errors import UsageError
    from trainer.runs.table import COLUMNS, differences, find_runs, read_run, select, sort
    from trainer.text import command, program
except ImportError:
    runpy.run_path(str(Path(__file__).with_name("guard.py")))  # says why
    raise


def parser() -> Parser:
    """Return the parser of the command line."""
    p = Parser(
        description="Show the runs in a folder as a table, or compare two of them.",
        epilog=f"KEY is one of {', '.join(COLUMNS)}, or a key of config.toml or result.json such as training.seed or "
        "test.ece.",
    )
    p.add_argument(
        "root", nargs="?", type=Path, default=Path("runs"), metavar="ROOT", help="folder of the runs (default: runs)"
    )
    order = "sort by KEY, largest or newest first, text from a to z (default: started)"
    p.add_argument("--sort", default="started", metavar="KEY", help=order)
    p.add_argument("--reverse", action="store_true", help="reverse the order")
    kept = "show only runs that match; also != > < >= <=, and * in text; may be repeated"
    p.add_argument("--filter", action="append", default=[], metavar="KEY=VALUE", help=kept)
    p.add_argument("--limit", type=int, metavar="N", help="show only the first N runs (default: all)")
    p.add_argument("--format", choices=FORMATS, default="table", help="output format (default: table)")
    pair = "show how two runs differ, given by name or directory"
    p.add_argument("--compare", nargs=2, metavar=("A", "B"), help=pair)
    return p


def compare(root: Path, names: list[str], form: str) -> int:
    """Print the differences of two runs."""
    one, other = (read_run(root / name if (root / name).is_dir() else Path(name)) for name in names)
    keys = ("key", *names)
    records = [dict(zip(keys, line, strict=True)) for line in differences(one, other)]
    if not records:
        say(f"{program()}: the two runs have the same configuration and result")
    else:
        show(listing(form, keys, records, folded=names), as_is=True)
    return 0


def main() -> int:
    """Show runs as the command line says; return the exit status."""
    args = parser().parse()
    if args.limit is not None and args.limit < 1:
        raise UsageError(f"argument --limit: must be at least 1, not {args.limit} (see --help)")
    if args.compare:
        return compare(args.root, args.compare, args.format)
    rows, passed = find_runs(args.root)
    for line in passed:
        say(f"{program()}: {line}")
    chosen = sort(select(rows, args.filter), args.sort, args.reverse)[: args.limit]
    if not chosen:
        advice = "" if rows else f"; train one with {command('fit')}"
        say(f"{program()}: no {'matching ' if rows else ''}runs in {args.root}{advice}")
    else:
        records = [{**row.columns, "path": str(row.path)} for row in chosen]
        show(listing(args.format, COLUMNS, records, folded=["name"]), as_is=True)
    return 0


if __name__ == "__main__":
    run_script(main)
