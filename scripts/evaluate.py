"""Evaluate a run or checkpoint on any data: `python scripts/evaluate.py runs/NAME --robustness`."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import TYPE_CHECKING, Any

try:
    from trainer.console.starting import starting

    if __name__ == "__main__":
        starting()
    from trainer.console import style
    from trainer.console.cli import Parser, run_script
    from trainer.console.output import say, show
    from trainer.console.tables import class_table, evaluation_rows, overlap_rows, robustness_table, score_rows, table
    from trainer.data.sources.find import check_source
    from trainer.runs.find import find_checkpoint, newest_checkpoint
    from trainer.runs.trained import load_trained
    from trainer.stage import Stage
    from trainer.text import program
except ImportError:
    runpy.run_path(str(Path(__file__).with_name("guard.py")))  # says why
    raise

if TYPE_CHECKING:
    from trainer.examine import Examination


def parser() -> Parser:
    """Return the parser of the command line."""
    p = Parser(description="Evaluate a trained model; tables and pictures go to the folder report of its run.")
    p.add_argument("run", nargs="?", type=Path, help="run directory or checkpoint (the newest finished run)")
    p.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="where runs are looked for (runs)")
    p.add_argument("--data", metavar="NAME|PATH", help="data source (that of the run)")
    p.add_argument("--data-dir", metavar="DIR", help="where data lie (that of the run)")
    parts = ("train", "validation", "test")
    p.add_argument("--split", choices=parts, default="test", help="which of the run's own images (test)")
    p.add_argument("--compare", type=Path, metavar="RUN", help="another run: which of the two reads the images better")
    p.add_argument("--robustness", action="store_true", help="also noisy, blurred, shifted, … images; takes minutes")
    p.add_argument("--out", type=Path, metavar="DIR", help="for tables and pictures (report, or a folder in it)")
    modules = "module that registers parts of the model; may be repeated"
    p.add_argument("--import", action="append", default=[], metavar="MODULE", help=modules)
    return p


def main() -> int:
    """Evaluate as the command line says; return the exit status."""
    args = parser().parse()
    if args.data is not None:
        check_source(args.data, Path(args.data_dir or "data"))
    path = find_checkpoint(args.run) if args.run else newest_checkpoint(args.runs)
    if args.compare is not None:
        find_checkpoint(args.compare)
    with Stage("loading the model"):
        trained = load_trained(path, getattr(args, "import"))
    chosen = trained.images(args.data, args.data_dir, args.split)
    for notice in chosen.notices:
        say(f"{program()}: {notice}", style.warning)
    from trainer.examine import Examination, report_folder
    from trainer.runs.files import REPORT, is_run

    folder = report_folder(path, chosen, args.out)
    examination = Examination(trained, chosen)
    rows = [("checkpoint", str(path)), ("data", f"{chosen.what}: {len(chosen.images):,}")]
    known = {"overlap": examination.overlap.to_dict()} if examination.overlap is not None else {}
    if examination.predictions is None:
        show(table([*rows, *score_rows(examination.numbers), *overlap_rows(known)]))
        say(f"{program()}: the task tells no classes apart, so these are all its numbers")
        return 0
    _classes(examination, args.compare, getattr(args, "import"), folder, rows, known)
    if args.robustness:
        _robustness(examination, folder)
    run = path.parent.parent
    if is_run(run) and folder.is_relative_to(run / REPORT):
        from plugins.report.rebuild import write_report

        with Stage("drawing the report"):
            write_report(run)
    return 0


def _classes(
    examination: Examination,
    other: Path | None,
    imports: list[str],
    folder: Path,
    rows: list[tuple[str, str]],
    known: dict[str, Any],
) -> None:
    """Print and write how well classes are told apart, and how another model does."""
    from plugins.report.pictures.evaluation import write_evaluation

    assert examination.predictions is not None
    compared = examination.compare(other, imports) if other is not None else None
    extra = {
        **{"checkpoint": str(examination.trained.path), "data": examination.chosen.what},
        "comparison": {"with": str(other), **compared.on_all.to_dict()} if compared is not None else None,
        **known,
    }
    names = examination.trained.data["class_names"]
    with Stage("drawing the report"):
        found = write_evaluation(folder, examination.predictions, names, examination.title, extra)
    said = [("compared", compared.on_all.sentence(str(other)))] if compared is not None else []
    if compared is not None and compared.on_new is not None:
        said.append(("on new images", compared.on_new.sentence(str(other))))
    scores = [*evaluation_rows(found), *score_rows(examination.numbers)[1:]]
    show(table([*rows, *scores, *said, ("report", str(folder))]))
    show(class_table(found["per_class"]))


def _robustness(examination: Examination, folder: Path) -> None:
    """Print and write how well worse images are read."""
    from plugins.report.pictures.evaluation import write_robustness
    from trainer.evaluation.robustness.measure import summary

    corruptions, variations = examination.robustness()
    write_robustness(folder, corruptions, variations, examination.title)
    if corruptions:
        show(robustness_table(corruptions, summary(corruptions)))
    else:
        say(f"{program()}: MNIST-C's corruptions are defined for gray images of 28 x 28 alone")


if __name__ == "__main__":
    run_script(main)
