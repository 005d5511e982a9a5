"""Makes the report of a run again, from its directory, and from its checkpoint and data where they are there."""

from __future__ import annotations

import json
from collections.abc import Mapping
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
from trainer.errors import InkwellError, UsageError
from trainer.runs.directory import HISTORY, RESULT, RUN


def write_report(folder: Path, result: Mapping[str, Any] | None = None) -> None:
    """Write the page of a run, and of one that is done the model card, from what its directory says.

    Args:
        folder: The run directory.
        result: What `result.json` will say, of a run that is about to end.

    Raises:
        InkwellError: If a file is damaged.
    """
    facts = gather(folder, result)
    if facts.result:
        write_card(facts)
    write_page(facts)


def rebuild(folder: Path) -> tuple[Path, list[str]]:
    """Draw all pictures of a run again and write its page and its card.

    Args:
        folder: The run directory.

    Returns:
        Where the page is, and a line about each thing that could not be done.

    Raises:
        UsageError: If it is no run directory.
        InkwellError: If its files are damaged, or the report cannot be written.
    """
    if not (folder / RUN).is_file():
        raise UsageError(f"{folder} is not a run directory: it has no {RUN}")
    try:
        (folder / "report").mkdir(exist_ok=True)
        missed = [*_curves(folder), *_evaluation(folder)]
        write_report(folder)
    except OSError as error:
        raise InkwellError(f"the report of {folder} cannot be written: {error.strerror or error}") from error
    if not (folder / RESULT).is_file():
        missed.append("no model card: the run has no result")
    return folder / "report" / "index.html", missed


def _curves(folder: Path) -> list[str]:
    """Draw the learning curves; return what could not be done."""
    history = []
    if (folder / HISTORY).is_file():
        for line in (folder / HISTORY).read_text(encoding="utf-8").splitlines():
            try:
                history.append(json.loads(line))
            except ValueError:  # the last line of a run that was killed
                break
    drawn = write_curves(folder / "report", history, _steps_per_epoch(history), folder.absolute().name)
    return [] if drawn else ["no learning curves: the history has no epoch"]


def _steps_per_epoch(history: list[dict[str, float]]) -> int:
    """Return the steps of the first epoch; one that was cut short is taken for whole."""
    return next((int(line["step"] / line["epoch"]) for line in history if line.get("kind") == "epoch"), 0)


def _confusion(folder: Path) -> None:
    """Draw the confusion matrix as the result has it."""
    known = gather(folder)
    counts = np.array((known.result.get("test") or {}).get("confusion", []), dtype=int)
    if counts.size:
        names = class_names(known.data.get("class_names"), len(counts))
        write_confusion(counts, names, folder / "report" / "confusion.csv")
        save(draw_confusion(counts, names, known.name), folder / "report" / "confusion.png")


def _evaluation(folder: Path) -> list[str]:
    """Let the model read its test images again and draw what it made of them; return what could not be done."""
    from trainer.examine import Examination
    from trainer.runs.trained import load_trained

    try:
        trained = load_trained(folder)
        examination = Examination(trained, trained.images(None, None, "test"))
    except InkwellError as error:
        _confusion(folder)
        return [f"the test images were not read again: {error}"]
    if examination.predictions is None:
        return ["nothing about classes: the task tells none apart"]
    names, facts = trained.data["class_names"], {"data": examination.chosen.what}
    write_evaluation(folder / "report", examination.predictions, names, folder.absolute().name, facts)
    return []
