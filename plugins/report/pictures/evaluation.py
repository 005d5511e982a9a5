"""The pictures and tables about one set of images that a model has read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from plugins.report.pictures.confusion import draw_confusion, write_confusion
from plugins.report.pictures.errors import MOST, draw_errors, error_rows
from plugins.report.pictures.reliability import draw_reliability
from plugins.report.pictures.robustness import draw_corruptions, draw_variations
from plugins.report.pictures.style import save
from plugins.report.pictures.tables import write_table
from trainer.evaluation.assessment import assess
from trainer.evaluation.calibration import reliability
from trainer.evaluation.predictions import Predictions
from trainer.evaluation.robustness.measure import summary
from trainer.files import to_json, write_atomic

Rows = Sequence[Mapping[str, Any]]


def write_evaluation(
    folder: Path, predictions: Predictions, names: Sequence[str], title: str, extra: Mapping[str, Any]
) -> dict[str, Any]:
    """Write `evaluation.json`, and confusion matrix, classes, reliability and errors as `.csv` and `.png`.

    Args:
        folder: Where to; exists.
        predictions: What the model made of the images.
        names: Names of the classes.
        title: First line of the headings.
        extra: What else `evaluation.json` is to say, such as what the images are.

    Returns:
        What it says; see `trainer.evaluation.assessment.assess`.
    """
    numbers = {**extra, **assess(predictions, names)}
    write_atomic(folder / "evaluation.json", to_json(numbers))
    counts = np.array(numbers["confusion"])
    write_confusion(counts, names, folder / "confusion.csv")
    save(draw_confusion(counts, names, title), folder / "confusion.png")
    write_table(numbers["per_class"], folder / "per_class.csv")
    _write_reliability(folder, predictions, numbers["calibration"], title)
    _write_errors(folder, predictions, names, title)
    return numbers


def _write_reliability(
    folder: Path, predictions: Predictions, errors: Mapping[str, Mapping[str, float]], title: str
) -> None:
    kinds = {
        kind.replace("_", " "): reliability(predictions.probabilities(kind == "calibrated"), predictions.labels)
        for kind in errors
    }
    rows = [{"probabilities": kind, **row} for kind, bins in kinds.items() for row in bins]
    write_table(rows, folder / "reliability.csv")
    found = {kind.replace("_", " "): numbers["ece"] for kind, numbers in errors.items()}
    save(draw_reliability(kinds, found, title), folder / "reliability.png")


def _write_errors(folder: Path, predictions: Predictions, names: Sequence[str], title: str) -> None:
    """Write the errors; where there are none, or no images, their sheet is not there."""
    rows = error_rows(predictions, names)
    (folder / "errors.png").unlink(missing_ok=True)
    write_table(rows, folder / "errors.csv")
    if rows and predictions.images is not None:
        images = np.stack([predictions.images[row["image"]] for row in rows[:MOST]])
        save(draw_errors(images, rows[:MOST], len(rows), title), folder / "errors.png")


def write_robustness(folder: Path, corruptions: Rows, variations: Rows, title: str) -> None:
    """Write accuracy under corruptions (if there are any) and variations, `.csv` and `.png` each."""
    if corruptions:
        write_table(corruptions, folder / "robustness.csv")
        save(draw_corruptions(corruptions, summary(corruptions), title), folder / "robustness.png")
    write_table(variations, folder / "variations.csv")
    save(draw_variations(variations, title), folder / "variations.png")
