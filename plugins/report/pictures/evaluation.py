"""Numbers, tables and images about one set of images that a model has read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from plugins.report.pictures.confusion import write_confusion
from plugins.report.pictures.errors import MOST, error_rows, write_sprite
from plugins.report.pictures.reliability import AS_TRAINED, CALIBRATED
from plugins.report.pictures.tables import write_table
from trainer.evaluation.assessment import assess
from trainer.evaluation.calibration import reliability
from trainer.evaluation.predictions import Predictions
from trainer.files import to_json, write_atomic
from trainer.runs.reported import EVALUATION, ROBUSTNESS, SPRITE, VARIATIONS

Rows = Sequence[Mapping[str, Any]]
SHOWN = ("true", "read", "probability", "doubted")


def write_evaluation(
    folder: Path, predictions: Predictions, names: Sequence[str], extra: Mapping[str, Any]
) -> dict[str, Any]:
    """Write `evaluation.json`, the tables about classes, reliability and errors, and the images of the surest errors.

    Args:
        folder: An existing folder.
        predictions: Outputs of the model for the images.
        names: Names of the classes.
        extra: Entries that are added to `evaluation.json`, such as a description of the images.

    Returns:
        The content of `evaluation.json`: that of `trainer.evaluation.assessment.assess`, the bins `reliability` of each
        kind of probabilities, and the `surest_errors`, at most `MOST`.
    """
    bins, errors = _reliability(predictions), error_rows(predictions, names)
    shown = [{key: row[key] for key in SHOWN if key in row} for row in errors[:MOST]]
    numbers = {**extra, **assess(predictions, names), "reliability": bins, "surest_errors": shown}
    write_atomic(folder / EVALUATION, to_json(numbers))
    write_confusion(np.array(numbers["confusion"]), names, folder / "confusion.csv")
    write_table(numbers["per_class"], folder / "per_class.csv")
    write_table(bins, folder / "reliability.csv")
    write_table(errors, folder / "errors.csv")
    _write_images(folder / SPRITE, predictions, errors)
    return numbers


def write_robustness(folder: Path, corruptions: Rows, variations: Rows) -> None:
    """Write the accuracy under corruptions (if there are any) and variations as tables."""
    if corruptions:
        write_table(corruptions, folder / ROBUSTNESS)
    write_table(variations, folder / VARIATIONS)


def class_names(given: Sequence[Any] | None, count: int) -> list[str]:
    """Return `count` names: those given if they fit, else numbers."""
    return [str(name) for name in given] if given and len(given) == count else [str(i) for i in range(count)]


def described(data: Mapping[str, Any]) -> str:
    """Return a description of the test images of a run.

    Args:
        data: What `run.json` tells about the data.
    """
    return f"{data['name']}, test images" if data.get("name") else "test images"


def _reliability(predictions: Predictions) -> list[dict[str, Any]]:
    """Return the bins of the probabilities as trained and, if there is a temperature, of those with it."""
    kinds = (AS_TRAINED, CALIBRATED) if predictions.temperature else (AS_TRAINED,)
    return [
        {"probabilities": kind, **row}
        for kind in kinds
        for row in reliability(predictions.probabilities(kind == CALIBRATED), predictions.labels)
    ]


def _write_images(path: Path, predictions: Predictions, errors: Rows) -> None:
    """Write the images of the surest errors; where there are none, no file is left."""
    if errors and predictions.images is not None:
        write_sprite(np.stack([predictions.images[row["image"]] for row in errors[:MOST]]), path)
    else:
        path.unlink(missing_ok=True)
