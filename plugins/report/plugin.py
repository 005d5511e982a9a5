"""Writes the report of a run once it is over: pictures, the tables behind them, a page and a model card."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.plugin import Plugin
from trainer.registry import plugins
from trainer.stage import Stage

if TYPE_CHECKING:
    from trainer.run import Run

EARLIER = ("robustness.csv", "robustness.png", "variations.csv", "variations.png")
"""Files that `evaluate.py --robustness` wrote about weights that the run, since resumed, no longer has."""


@plugins.register("report")
class Report(Plugin):
    """Draw the learning curves and what the model made of the test images; write `index.html` and `model_card.md`.

    That happens after the evaluation on the test data, or at the end of a run that did not get that far.
    """

    observer = True
    writes = True

    def __init__(self) -> None:
        self._drawn = False

    def on_fit_start(self, run: Run) -> None:
        """Forget an earlier run."""
        self._drawn = False

    def on_test_end(self, run: Run) -> None:
        """Draw everything."""
        self._draw(run)

    def on_fit_end(self, run: Run) -> None:
        """Draw the curves of a run that ended before its test data were evaluated."""
        if not self._drawn:
            self._draw(run)

    def _draw(self, run: Run) -> None:
        self._drawn = True
        folder = run.report
        if folder is None:
            return
        with Stage("drawing the report"):
            for name in EARLIER:
                (folder / name).unlink(missing_ok=True)
            _draw_curves(run, folder)
            _draw_test(run, folder)
            _write_page(run)


def _draw_curves(run: Run, folder: Path) -> None:
    from plugins.report.pictures.curves import write_curves

    write_curves(folder, run.history, run.steps_per_epoch, run.name)


def _draw_test(run: Run, folder: Path) -> None:
    """Draw what the model made of the test images, if its task is classification."""
    from plugins.report.pictures.evaluation import write_evaluation
    from plugins.report.pictures.style import class_names

    per_class = run.result.get("test", {}).get("per_class")
    if run.predictions is not None and per_class:
        names = class_names(run.data.get("class_names"), len(per_class))
        told: dict[str, Any] = {"data": f"{run.data.get('name')}, test images"}
        if overlap := run.result["test"].get("overlap"):
            told["overlap"] = overlap
        write_evaluation(folder, run.predictions, names, run.name, told)


def _write_page(run: Run) -> None:
    from plugins.report.rebuild import write_report

    assert run.directory is not None
    write_report(run.directory, run.result)
