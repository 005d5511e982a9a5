"""Export a trained model and prove the export: `python scripts/export.py --format onnx exported`."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import TYPE_CHECKING, Any

try:
    from trainer.console.starting import starting

    if __name__ == "__main__":
        starting()
    from trainer.console.cli import Parser, run_script
    from trainer.console.listing import listing
    from trainer.console.output import say, show
    from trainer.errors import InkwellError
    from trainer.export import formats
    from trainer.export.exporting import check_free, export
    from trainer.runs.find import find_checkpoint, newest_checkpoint
    from trainer.runs.trained import load_trained
    from trainer.stage import Stage
    from trainer.text import printable, program
except ImportError:
    runpy.run_path(str(Path(__file__).with_name("guard.py")))  # says why
    raise

if TYPE_CHECKING:
    from trainer.export.proof import Proof

COLUMNS = ("format", "bytes", "one image", "difference", "other classes", "folder")


def parser() -> Parser:
    """Return the parser of the command line."""
    p = Parser(description="Export a trained model: raw uint8 images in, probabilities out, compared with its source.")
    p.add_argument("folder", type=Path, metavar="DIR", help="where to; must not exist; a folder a format in it if many")
    names = [entry.name for entry in formats.entries()]
    p.add_argument(
        "--format", required=True, action="append", choices=names, help=f"may be repeated: {', '.join(names)}"
    )
    p.add_argument("--run", type=Path, metavar="DIR", help="run directory or checkpoint (the newest finished run)")
    p.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="where runs are looked for (runs)")
    modules = "module that registers parts of the model; may be repeated"
    p.add_argument("--import", action="append", default=[], metavar="MODULE", help=modules)
    return p


def main() -> int:
    """Export as the command line says; return 1 if an export failed."""
    args = parser().parse()
    check_free(args.folder)
    checkpoint = find_checkpoint(args.run) if args.run else newest_checkpoint(args.runs)
    with Stage("loading the model"):
        from models.recognizer.threshold import measured
        from trainer.export.original import Original

        trained = load_trained(checkpoint, getattr(args, "import"))
        original, extra = Original.of(trained), {"rejection": measured(trained)}
    names, records = list(dict.fromkeys(args.format)), []
    for name in names:
        try:
            folder = args.folder / name if len(names) > 1 else args.folder
            with Stage(f"exporting to {name}"):
                proof = export(original, name, folder, extra)
            records.append(row(name, folder, proof))
        except InkwellError as error:
            say(f"{program()}: {name}: {error}")
    if records:
        show(printable(f"{trained.path}, compared on {records[0]['compared']}, each export in a fresh process"))
        show(listing("table", COLUMNS, records, ("folder",)), as_is=True)
    return int(len(records) < len(names))


def row(name: str, folder: Path, proof: Proof) -> dict[str, Any]:
    """Return the line of the table about an export."""
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
