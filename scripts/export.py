"""Export a trained model and prove the export: `python scripts/export.py --format mlflow exported`."""

from __future__ import annotations

import sys
from pathlib import Path

try:
    import models  # noqa: F401  (fills the table of models)
    from trainer.cli import Parser, run_script
    from trainer.export import formats
    from trainer.export.exporting import check_free, export
    from trainer.restore import find_checkpoint, load_trained
    from trainer.rundir import newest_done
    from trainer.summary import table
except ModuleNotFoundError as error:
    sys.exit(f"export.py: Inkwell is not installed (no {error.name}); run in its folder: python -m pip install -e .")


def parser() -> Parser:
    """Return the parser of the command line."""
    p = Parser(description="Export a trained model: raw uint8 images in, probabilities out, compared with its source.")
    p.add_argument("folder", type=Path, metavar="DIR", help="where to; must not exist")
    names = [entry.name for entry in formats.entries()]
    p.add_argument("--format", required=True, choices=names, help=", ".join(names))
    p.add_argument("--run", type=Path, metavar="DIR", help="run directory or checkpoint (the newest finished run)")
    p.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="where runs are looked for (runs)")
    return p


def main() -> int:
    """Export as the command line says; return the exit status."""
    args = parser().parse()
    check_free(args.folder)
    checkpoint = find_checkpoint(args.run or newest_done(args.runs))
    trained = load_trained(checkpoint)
    proof = export(trained, args.format, args.folder)
    size = sum(file.stat().st_size for file in args.folder.rglob("*") if file.is_file())
    rows = [("checkpoint", str(trained.path)), ("compared", str(proof)), ("exported", f"{args.folder}, {size:,} bytes")]
    print(table(rows))
    return 0


if __name__ == "__main__":
    run_script(main)
