"""Evaluate a run or checkpoint on any data: `python scripts/evaluate.py runs/NAME --robustness`."""

from __future__ import annotations

import runpy
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

try:
    from trainer.console.starting import starting

    if __name__ == "__main__":
        starting()
    from trainer.config.spec import SOURCE
    from trainer.console import style
    from trainer.console.cli import Parser, run_script
    from trainer.console.output import say, show
    from trainer.console.style import bold
    from trainer.data.sources.find import check_source
    from trainer.errors import UsageError
    from trainer.files import check_folder
    from trainer.registry import import_ours
    from trainer.runs.files import is_run
    from trainer.runs.find import find_checkpoint, newest_checkpoint
    from trainer.runs.imports import import_named
    from trainer.stage import Stage
    from trainer.text import command, program
except ImportError:
    runpy.run_path(str(Path(__file__).with_name("guard.py")))  # says why
    raise

if TYPE_CHECKING:
    from argparse import Namespace

    from trainer.examine import Examination


def parser() -> Parser:
    """Return the parser of the command line."""
    p = Parser(description="Evaluate a trained model; tables and pictures go to the report folder of its run.")
    p.add_argument("run", nargs="?", type=Path, help="run directory or checkpoint (default: the newest finished run)")
    p.add_argument("--runs", type=Path, default=Path("runs"), metavar="DIR", help="folder of the runs (default: runs)")
    p.add_argument("--data", metavar=SOURCE, help="data to evaluate on (default: those of the run)")
    p.add_argument(
        "--data-dir", metavar="DIR", help="folder of prepared and downloaded data (default: that of the run)"
    )
    parts = ("train", "validation", "test")
    p.add_argument("--split", choices=parts, default="test", help="part of the run's own images (default: test)")
    p.add_argument("--compare", type=Path, metavar="RUN", help="another run or checkpoint to compare with")
    p.add_argument(
        "--robustness", action="store_true", help="also read noisy, blurred, shifted, … images; takes minutes"
    )
    out = "folder for tables and pictures (default: report in the run directory, or a folder in it)"
    p.add_argument("--out", type=Path, metavar="DIR", help=out)
    modules = "module that registers parts of the model, or data; may be repeated"
    p.add_argument("--import", action="append", default=[], metavar="MODULE", help=modules)
    return p


def main() -> int:
    """Evaluate as the command line says; return the exit status."""
    args = parser().parse()
    import_named(getattr(args, "import"))
    if args.data is not None:
        check_source(args.data, Path(args.data_dir or "data"))
    path = find_checkpoint(args.run) if args.run else newest_checkpoint(args.runs)
    if args.compare is not None:
        find_checkpoint(args.compare)
    if args.out is not None:
        check_folder(args.out, "folder", "name another with --out")
    elif not is_run(path.parent.parent):
        raise UsageError(f"{path} is not in a run directory; choose a folder for tables and charts with --out")
    return evaluate(path, args)


def evaluate(path: Path, args: Namespace) -> int:
    """Load and evaluate the model of a checkpoint; return the exit status."""
    from trainer.console.ending import next_lines
    from trainer.console.tables import overlap_rows, score_rows, table
    from trainer.examine import Examination, report_folder
    from trainer.runs.files import REPORT
    from trainer.runs.trained import load_trained

    import_ours("plugins")
    with Stage("loading the model"):
        trained = load_trained(path, getattr(args, "import"))
    if args.robustness:
        trained.check_classifies("measure the robustness of")
    chosen = trained.images(args.data, args.data_dir, args.split)
    for notice in chosen.notices:
        say(f"{program()}: warning: {notice}", style.warning)
    folder = report_folder(path, chosen, args.out)
    examination = Examination(trained, chosen)
    rows = [("checkpoint", str(path)), ("data", f"{chosen.what}: {len(chosen.images):,}")]
    known = {"overlap": examination.overlap.to_dict()} if examination.overlap is not None else {}
    if examination.predictions is None:
        show(table([*rows, *score_rows(examination.numbers), *overlap_rows(known)]))
        say(f"{program()}: the task has no classes, so that there are no tables of them")
        return 0
    _classes(examination, args.compare, getattr(args, "import"), folder, rows, known)
    if args.robustness:
        _robustness(examination, folder)
    run = path.parent.parent
    if folder.resolve() != (run / REPORT).resolve():
        from plugins.report.page import write_images_page

        write_images_page(folder, examination.title)
    steps = []
    if is_run(run) and folder.is_relative_to(run / REPORT):
        from plugins.report.rebuild import write_report

        with Stage("writing the report"):
            write_report(run)
        steps.append(("report", str(run / REPORT / "index.html")))
    if not args.robustness and list(trained.data.get("input_shape", ())) == [28, 28, 1]:
        steps.append(("robustness", f"{command('evaluate')} {shlex.quote(str(args.run or run))} --robustness"))
    if steps:
        show("\n".join(next_lines(steps)), as_is=True)
    return 0


def _classes(
    examination: Examination,
    other: Path | None,
    imports: list[str],
    folder: Path,
    rows: list[tuple[str, str]],
    known: dict[str, Any],
) -> None:
    """Print and write the scores of each class, and the comparison with another model."""
    from plugins.report.pictures.evaluation import write_evaluation
    from trainer.console.ending import accuracy_of
    from trainer.console.tables import class_table, evaluation_rows, score_rows, table

    assert examination.predictions is not None
    compared = examination.compare(other, imports) if other is not None else None
    extra = {
        **{"checkpoint": str(examination.trained.path), "data": examination.chosen.what},
        "comparison": {"with": str(other), **compared.on_all.to_dict()} if compared is not None else None,
        **known,
    }
    names = examination.trained.data["class_names"]
    with Stage("writing the report"):
        found = write_evaluation(folder, examination.predictions, names, extra)
    said = [("compared", compared.on_all.sentence(str(other)))] if compared is not None else []
    if compared is not None and compared.on_new is not None:
        said.append(("on new images", compared.on_new.sentence(str(other))))
    scores = [*evaluation_rows(found), *score_rows(examination.numbers)[1:]]
    show(bold(accuracy_of(found["accuracy"]["value"], found["accuracy"]["images"], "images")), as_is=True)
    show(table([*rows, *scores, *said, ("report", str(folder))]))
    show(class_table(found["per_class"]))


def _robustness(examination: Examination, folder: Path) -> None:
    """Print and write the accuracy on corrupted and varied images."""
    from plugins.report.pictures.evaluation import write_robustness
    from trainer.console.tables import robustness_table
    from trainer.evaluation.robustness.measure import summary

    corruptions, variations = examination.robustness()
    write_robustness(folder, corruptions, variations)
    if corruptions:
        show(robustness_table(corruptions, summary(corruptions)))
    else:
        say(f"{program()}: the corruptions of MNIST-C are defined for grayscale images of 28 x 28 only")


if __name__ == "__main__":
    run_script(main)
