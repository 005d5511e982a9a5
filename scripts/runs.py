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
    from trainer.text import program
except ImportError:
    runpy.run_path(str(Path(__file__).with_name("guard.py")))  # says why
    raise


def parser() -> Parser:
    """Return the parser of the command line."""
    p = Parser(
        description="Show the runs in a folder, or in what two of them differ.",
        epilog=f"KEY is {', '.join(COLUMNS)}, or a key of config.toml or result.json, such as training.seed, test.ece.",
    )
    p.add_argument("root", nargs="?", type=Path, default=Path("runs"), metavar="ROOT", help="where the runs lie (runs)")
    p.add_argument("--sort", default="started", metavar="KEY", help="largest and newest first, texts a to z (started)")
    p.add_argument("--reverse", action="store_true", help="the other way round")
    p.add_argument("--filter", action="append", default=[], metavar="KEY=VALUE", help="also != > < >= <=; * in texts")
    p.add_argument("--limit", type=int, metavar="N", help="the first N runs (all)")
    p.add_argument("--format", choices=FORMATS, default="table", help="table, jsonl or csv (table)")
    p.add_argument("--compare", nargs=2, metavar=("A", "B"), help="differences of two runs: their names or directories")
    return p


def compare(root: Path, names: list[str], form: str) -> int:
    """Print in what two runs differ."""
    one, other = (read_run(root / name if (root / name).is_dir() else Path(name)) for name in names)
    keys = ("key", *names)
    records = [dict(zip(keys, line, strict=True)) for line in differences(one, other)]
    if not records:
        say(f"{program()}: configuration and result are the same")
    else:
        show(listing(form, keys, records, folded=names), as_is=True)
    return 0


def main() -> int:
    """Show what the command line asks for; return the exit status."""
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
        say(f"{program()}: no runs{' like that' if rows else ''} in {args.root}")
    else:
        records = [{**row.columns, "path": str(row.path)} for row in chosen]
        show(listing(args.format, COLUMNS, records, folded=["name"]), as_is=True)
    return 0


if __name__ == "__main__":
    run_script(main)
