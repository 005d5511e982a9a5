"""Makes the report of a run again, from its directory, and from its checkpoint and data where they are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from plugins.report.card import write_card
from plugins.report.contents import gather
from plugins.report.page import write_page
from plugins.report.pictures.confusion import draw_confusion, write_confusion
from plugins.report.pictures.curves import write_curves
from plugins.report.pictures.evaluation import write_evaluation
from plugins.report.pictures.style import class_names, save
from trainer.errors import InkwellError
from trainer.files import sweep
from trainer.result import Result
from trainer.runs.files import RunFiles


def write_report(folder: Path, result: Mapping[str, Any] | None = None) -> None:
    """Write the page of a run, and of one that is done the model card, from its directory.

    Args:
        folder: The run directory.
        result: What `result.json` is about to be, of a run that ends.

    Raises:
        UsageError: If it is no run directory.
        InkwellError: If a file is damaged.
    """
    files = RunFiles(folder)
    contents = gather(files, result)
    if contents.result:
        write_card(contents)
    write_page(contents, files)


def rebuild(folder: Path, imports: Sequence[str] = ()) -> tuple[Path, list[str]]:
    """Draw all pictures of a run again and write its page and its card.

    Args:
        folder: The run directory.
        imports: Modules that register parts of its model; see `trainer.runs.trained.load_trained`.

    Returns:
        Where the page is, and a line about each thing that could not be done.

    Raises:
        UsageError: If it is no run directory.
        InkwellError: If its files are damaged or of another layout, or the report cannot be written.
    """
    files = RunFiles(folder)
    try:
        files.report.mkdir(exist_ok=True)
        sweep(files.report)
        missed = [*_curves(files), *_evaluation(files, imports)]
        write_report(folder)
    except OSError as error:
        raise InkwellError(f"the report of {folder} cannot be written: {error.strerror or error}") from error
    if not files.has_result:
        missed.append("no model card: the run has no result")
    return files.report / "index.html", missed


def _curves(files: RunFiles) -> list[str]:
    """Draw the learning curves; return what could not be done."""
    history = files.history()
    drawn = write_curves(files.report, history, _steps_per_epoch(history), files.name)
    return [] if drawn else ["no learning curves: the history has no epoch"]


def _steps_per_epoch(history: list[dict[str, float]]) -> int:
    """Return the steps of the first epoch; one that was cut short is taken for whole."""
    epochs = (line for line in history if line.get("kind") == "epoch" and line.get("epoch"))
    return next((int(line["step"] / line["epoch"]) for line in epochs), 0)


def _confusion(files: RunFiles) -> None:
    """Draw the confusion matrix as the result has it."""
    counts = np.array(((files.result or Result()).get("test") or {}).get("confusion", []), dtype=int)
    if counts.size:
        names = class_names(files.run.data.get("class_names"), len(counts))
        write_confusion(counts, names, files.report / "confusion.csv")
        save(draw_confusion(counts, names, files.name), files.report / "confusion.png")


def _evaluation(files: RunFiles, imports: Sequence[str]) -> list[str]:
    """Let the model read its test images again and draw what it made of them; return what could not be done."""
    from trainer.examine import Examination
    from trainer.runs.trained import load_trained

    try:
        trained = load_trained(files.path, imports)
        examination = Examination(trained, trained.images(None, None, "test"))
    except InkwellError as error:
        _confusion(files)
        return [f"the test images were not read again: {error}"]
    if examination.predictions is None:
        return ["nothing about classes: the task tells none apart"]
    names = trained.data["class_names"]
    told: dict[str, Any] = {"data": examination.chosen.what}
    if examination.overlap is not None:
        told["overlap"] = examination.overlap.to_dict()
    write_evaluation(files.report, examination.predictions, names, files.name, told)
    return []
