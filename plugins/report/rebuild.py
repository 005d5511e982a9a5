"""Makes the report of a run again: from its directory, and from its checkpoint and data if they exist."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from plugins.report.card import write_card
from plugins.report.contents import Ending, gather
from plugins.report.page import write_page
from plugins.report.pictures.confusion import write_confusion
from plugins.report.pictures.curves import write_curves
from plugins.report.pictures.evaluation import class_names, described, write_evaluation
from trainer.errors import InkwellError
from trainer.evaluation.assessment import from_confusion
from trainer.files import sweep, to_json, write_atomic
from trainer.result import Result
from trainer.runs import reported
from trainer.runs.files import RunFiles
from trainer.runs.reported import EVALUATION


def write_report(folder: Path, ending: Ending | None = None) -> None:
    """Write the page of a run and, if it is done, the model card.

    Args:
        folder: The run directory.
        ending: What a run that ends knows, and its directory does not hold yet.

    Raises:
        UsageError: If it is not a run directory.
        InkwellError: If a file is damaged.
    """
    files = RunFiles(folder)
    contents = gather(files, ending)
    if contents.result:
        write_card(contents)
    write_page(contents, files.report)


def rebuild(folder: Path, imports: Sequence[str] = ()) -> tuple[Path, list[str]]:
    """Write the tables, the charts, the page and the card of a run again.

    Args:
        folder: The run directory.
        imports: Modules that register parts of its model; see `trainer.runs.trained.load_trained`.

    Returns:
        The path of the page, and one line about each part that could not be made.

    Raises:
        UsageError: If it is not a run directory.
        InkwellError: If its files are damaged or of another layout, or the report cannot be written.
    """
    files = RunFiles(folder)
    try:
        files.report.mkdir(exist_ok=True)
        sweep(files.report)
        missed = [*_curves(files), *_evaluation(files, imports)]
        write_report(folder)
    except OSError as error:
        raise InkwellError(f"cannot write the report of {folder}: {error.strerror or error}") from error
    if not files.has_result:
        missed.append("no model card: the run has no result")
    return files.report / "index.html", missed


def _curves(files: RunFiles) -> list[str]:
    """Write the history as a table; return what could not be done."""
    written = write_curves(files.history(), files.report / "curves.csv")
    return [] if written else ["no learning curves: the history has no epoch"]


def _recorded(files: RunFiles) -> None:
    """Write what the result tells about the test images, unless they have been evaluated before."""
    test = (files.result or Result()).get("test") or {}
    counts = np.array(test.get("confusion") or [], dtype=int)
    if not counts.sum() or reported.evaluation(files):
        return
    names = class_names(files.run.data.get("class_names"), len(counts))
    calibration = {"as_they_are": {"ece": test.get("ece"), "nll": test.get("nll"), "brier": None}}
    numbers = {"data": described(files.run.data), **from_confusion(counts, names), "calibration": calibration}
    write_atomic(files.report / EVALUATION, to_json(numbers))
    write_confusion(counts, names, files.report / "confusion.csv")


def _evaluation(files: RunFiles, imports: Sequence[str]) -> list[str]:
    """Let the model read its test images again and write the findings; return what could not be done."""
    from trainer.examine import Examination
    from trainer.runs.trained import load_trained

    try:
        trained = load_trained(files.path, imports)
        examination = Examination(trained, trained.images(None, None, "test"))
    except InkwellError as error:
        _recorded(files)
        return [f"the test images were not read again: {error}"]
    if examination.predictions is None:
        return ["nothing about classes: the task is not classification"]
    names = trained.data["class_names"]
    extra: dict[str, Any] = {"data": examination.chosen.what}
    if examination.overlap is not None:
        extra["overlap"] = examination.overlap.to_dict()
    write_evaluation(files.report, examination.predictions, names, extra)
    return []
