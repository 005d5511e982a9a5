"""Export a trained model and prove the export: `python scripts/export.py --format onnx exported`."""

from __future__ import annotations

import runpy
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

try:
    from trainer.console.starting import starting

    if __name__ == "__main__":
        starting()
    from trainer.console.cli import Parser, run_script
    from trainer.console.output import say, show
    from trainer.errors import InkwellError
    from trainer.export import formats
    from trainer.files import check_new
    from trainer.registry import import_ours
    from trainer.runs.find import find_checkpoint, newest_checkpoint
    from trainer.stage import Stage
    from trainer.text import command, count, printable, program
except ImportError:
    runpy.run_path(str(Path(__file__).with_name("guard.py")))  # says why
    raise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trainer.export.proof import Proof

COLUMNS = ("format", "bytes", "one image", "difference", "other classes", "folder")


def parser() -> Parser:
    """Return the parser of the command line."""
    p = Parser(description="Export a trained model, from raw uint8 images to probabilities, and prove the export.")
    where = "output folder, which must not exist; one subfolder per format if several"
    p.add_argument("folder", type=Path, metavar="DIR", help=where)
    names = [entry.name for entry in formats.entries()]
    form = f"{', '.join(names)}; may be repeated"
    p.add_argument("--format", required=True, action="append", choices=names, metavar="FORMAT", help=form)
    run = "run directory or checkpoint (default: the newest finished run)"
    p.add_argument("--run", type=Path, metavar="DIR", help=run)
    p.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="folder of the runs (default: runs)")
    modules = "module that registers parts of the model; may be repeated"
    p.add_argument("--import", action="append", default=[], metavar="MODULE", help=modules)
    return p


def main() -> int:
    """Export as the command line says; return 1 if an export failed."""
    args = parser().parse()
    check_new(args.folder, "export", "name another folder")
    checkpoint = find_checkpoint(args.run) if args.run else newest_checkpoint(args.runs)
    return exported(checkpoint, list(dict.fromkeys(args.format)), args.folder, getattr(args, "import"))


def exported(checkpoint: Path, names: Sequence[str], folder: Path, imports: Sequence[str]) -> int:
    """Export the model of a checkpoint in each format and print how the exports compare; return the exit status."""
    import_ours("models")
    from trainer.console.ending import next_lines
    from trainer.console.listing import listing
    from trainer.console.style import bold
    from trainer.export.exporting import export
    from trainer.runs.trained import load_trained

    with Stage("loading the model"):
        from models.recognizer.threshold import measured
        from trainer.export.original import Original

        trained = load_trained(checkpoint, imports)
        original, extra = Original.of(trained), {"rejection": measured(trained)}
    records = []
    for name in names:
        try:
            place = folder / name if len(names) > 1 else folder
            with Stage(f"exporting to {name}"):
                proof = export(original, name, place, extra)
            records.append(row(name, place, proof))
        except InkwellError as error:
            say(f"{program()}: {name}: {error}")
    if records:
        done = f"{count(len(records), 'export')} of {trained.path}, compared on {records[0]['compared']}"
        steps = [("predict", f"{command('predict')} FILE --recognizer {shlex.quote(records[0]['folder'])}")]
        table = listing("table", COLUMNS, records, ("folder",))
        show("\n".join([bold(printable(done)), table, *next_lines(steps)]), as_is=True)
    return int(len(records) < len(names))


def row(name: str, folder: Path, proof: Proof) -> dict[str, Any]:
    """Return the row of the table for an export."""
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return {
        "format": name,
        "bytes": f"{size:,}",
        "one image": f"{proof.milliseconds:.2f} ms",
        "difference": f"{proof.largest_difference:.1e}",
        "other classes": f"{proof.other_classes}",
        "folder": str(folder),
        "compared": f"{proof.images:,} images ({proof.data})",
    }


if __name__ == "__main__":
    run_script(main)
