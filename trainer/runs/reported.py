"""Reading of a run's `report` folder, which `plugins.report` writes."""

from __future__ import annotations

import csv
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from trainer.errors import InkwellError
from trainer.files import read_bounded, read_json
from trainer.runs.files import RunFiles
from trainer.runs.schema import Corruption, Evaluation, Variation, conform
from trainer.text import first_line

EVALUATION, ROBUSTNESS, VARIATIONS = "evaluation.json", "robustness.csv", "variations.csv"
SPRITE = "errors.sprite.png"
"""The images of the surest errors, side by side in one picture."""
MAX_TABLE, MAX_PICTURE = 4 * 2**20, 32 * 2**20
"""Size limits of a table and of a picture in bytes."""


class Place(Protocol):
    """A folder with the evaluation of images: the report of a run directory (`RunFiles`), or one `Apart`."""

    @property
    def report(self) -> Path:
        """The folder."""

    def inside(self, path: Path) -> Path:
        """Return a path that may be read; raise `InkwellError` if it leads elsewhere."""


@dataclass(frozen=True)
class Apart:
    """A separate folder, in which no link is followed.

    Attributes:
        report: The folder.
    """

    report: Path

    def inside(self, path: Path) -> Path:
        """Return the path, which must not be a link.

        Raises:
            InkwellError: If it is a link.
        """
        if path.is_symlink():
            raise InkwellError(f"cannot read {path}: it is a link; remove it")
        return path


def evaluation(place: Place) -> dict[str, Any]:
    """Return the evaluation of the images; empty if there is none.

    Raises:
        InkwellError: If it is damaged.
    """
    path = place.inside(place.report / EVALUATION)
    return _evaluation(path) if os.path.lexists(path) else {}


def other_evaluations(files: RunFiles) -> dict[str, dict[str, Any]]:
    """Return the evaluations of other images or with other weights, by the names of their folders, in order.

    Raises:
        InkwellError: If one is damaged.
    """
    paths = sorted(files.report.glob(f"*/{EVALUATION}"))
    return {path.parent.name: _evaluation(files.inside(path)) for path in paths}


def _evaluation(path: Path) -> dict[str, Any]:
    values = read_json(path)
    conform(Evaluation, values, path)
    return values


def corruptions(place: Place) -> list[dict[str, Any]]:
    """Return the accuracy under each corruption; empty if it was not measured.

    Raises:
        InkwellError: If the table is damaged.
    """
    return _rows(place, ROBUSTNESS, Corruption)


def variations(place: Place) -> list[dict[str, Any]]:
    """Return the accuracy under each amount of each variation; empty if it was not measured.

    Raises:
        InkwellError: If the table is damaged.
    """
    return _rows(place, VARIATIONS, Variation)


def _rows(place: Place, name: str, schema: type) -> list[dict[str, Any]]:
    path = place.inside(place.report / name)
    if not os.path.lexists(path):
        return []
    rows = read_table(path)
    conform(list[schema], rows, path)  # type: ignore[valid-type]
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


def picture(place: Place, name: str) -> bytes:
    """Return a picture of the report, as PNG; empty if there is none.

    Raises:
        InkwellError: If it cannot be read, or is a link that leads out of the run directory.
    """
    path = place.inside(place.report / name)
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
