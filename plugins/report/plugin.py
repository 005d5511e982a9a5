"""Writes the report of a run once it is over: tables, charts, a page and a model card."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.plugin import Plugin
from trainer.registry import plugins
from trainer.runs.reported import ROBUSTNESS, VARIATIONS
from trainer.stage import Stage

if TYPE_CHECKING:
    from trainer.run import Run

EARLIER = (ROBUSTNESS, VARIATIONS)
"""Files that `evaluate.py --robustness` wrote about weights that the run, since resumed, no longer has."""


@plugins.register("report")
class Report(Plugin):
    """Writes the report: learning curves, findings about the test images, next steps; `index.html` and `model_card.md`.

    It does so after the evaluation on the test data, or at the end of a run that did not get that far.
    """

    observer = True
    writes = True

    def __init__(self) -> None:
        self._written = False

    def on_fit_start(self, run: Run) -> None:
        """Forget an earlier run."""
        self._written = False

    def on_test_end(self, run: Run) -> None:
        """Write everything."""
        self._write(run)

    def on_fit_end(self, run: Run) -> None:
        """Write the report of a run that ended before its test data were evaluated."""
        if not self._written:
            self._write(run)

    def _write(self, run: Run) -> None:
        self._written = True
        folder = run.report
        if folder is None:
            return
        with Stage("writing the report"):
            for name in EARLIER:
                (folder / name).unlink(missing_ok=True)
            _write_tables(run, folder)
            _write_report(run)


def _write_tables(run: Run, folder: Path) -> None:
    """Write the history and, if the task is classification, the findings about the test images."""
    from plugins.report.pictures.curves import write_curves
    from plugins.report.pictures.evaluation import class_names, described, write_evaluation

    write_curves(run.history, folder / "curves.csv")
    per_class = run.result.get("test", {}).get("per_class")
    if run.predictions is not None and per_class:
        names = class_names(run.data.get("class_names"), len(per_class))
        extra: dict[str, Any] = {"data": described(run.data)}
        if overlap := run.result["test"].get("overlap"):
            extra["overlap"] = overlap
        write_evaluation(folder, run.predictions, names, extra)


def _write_report(run: Run) -> None:
    from plugins.report.contents import Ending
    from plugins.report.rebuild import write_report

    assert run.directory is not None
    write_report(run.directory, Ending(run.result, run.history, run.steps_per_epoch))
