"""Reading of a run's `report` folder, which `plugins.report` writes."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import Any

from trainer.errors import InkwellError
from trainer.files import read_bounded, read_json
from trainer.runs.files import RunFiles
from trainer.runs.schema import Corruption, Evaluation, conform
from trainer.text import first_line

EVALUATION, ROBUSTNESS = "evaluation.json", "robustness.csv"
MAX_TABLE, MAX_PICTURE = 4 * 2**20, 32 * 2**20
"""Size limits of a table and of a picture in bytes."""


def evaluation(files: RunFiles) -> dict[str, Any]:
    """Return the evaluation of the test images; empty if there is none.

    Raises:
        InkwellError: If it is damaged.
    """
    path = files.inside(files.report / EVALUATION)
    return _evaluation(path) if os.path.lexists(path) else {}


def other_evaluations(files: RunFiles) -> list[dict[str, Any]]:
    """Return the evaluations of other images or with other weights, ordered by folder.

    Raises:
        InkwellError: If one is damaged.
    """
    return [_evaluation(files.inside(path)) for path in sorted(files.report.glob(f"*/{EVALUATION}"))]


def _evaluation(path: Path) -> dict[str, Any]:
    values = read_json(path)
    conform(Evaluation, values, path)
    return values


def corruptions(files: RunFiles) -> list[dict[str, Any]]:
    """Return the rows of the evaluation on corrupted images; empty if there is none.

    Raises:
        InkwellError: If they are damaged.
    """
    path = files.inside(files.report / ROBUSTNESS)
    if not os.path.lexists(path):
        return []
    rows = read_table(path)
    conform(list[Corruption], rows, path)
    return rows


def read_table(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a table of the report: numbers as floats, empty fields as None.

    Raises:
        InkwellError: If it cannot be read.
    """
    try:
        text = read_bounded(path, MAX_TABLE).decode()
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
    except (OSError, ValueError, csv.Error) as error:
        raise InkwellError(f"cannot read {path}: {first_line(error)}") from error
    return [{name: _value(field) for name, field in row.items() if name is not None} for row in rows]


def picture(files: RunFiles, name: str) -> bytes:
    """Return a picture of the report; empty if there is none.

    Raises:
        InkwellError: If it cannot be read, or is a link that leads out of the run directory.
    """
    path = files.inside(files.report / name)
    if not path.is_file():
        return b""
    try:
        return read_bounded(path, MAX_PICTURE)
    except (OSError, ValueError) as error:
        raise InkwellError(f"cannot read {path}: {first_line(error)}") from error


def _value(text: Any) -> Any:
    if text in ("True", "False", "", None):
        return {"True": True, "False": False}.get(text or "")
    try:
        return float(text)
    except (TypeError, ValueError):
        return text
