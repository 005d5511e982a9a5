"""The findings about one set of images, from a folder of a report."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from plugins.report.pictures.confusion import FEW, MANY, Cell, Pair, pairs, shaded
from plugins.report.pictures.errors import ACROSS
from trainer.errors import InkwellError
from trainer.evaluation.assessment import hardest
from trainer.evaluation.robustness.measure import summary
from trainer.runs import reported
from trainer.runs.reported import SPRITE, Place

PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Evaluated:
    """The findings about one set of images.

    Attributes:
        found: The content of `evaluation.json`; empty if it does not exist.
        corruptions: The rows of `robustness.csv`; empty if robustness was not measured.
        variations: The rows of `variations.csv`; empty likewise.
        sprite: The images of the surest errors as PNG; empty if there are none.
    """

    found: Mapping[str, Any]
    corruptions: list[dict[str, Any]]
    variations: list[dict[str, Any]]
    sprite: bytes

    @property
    def means(self) -> dict[str, Any]:
        """The mean accuracies under corruptions; empty if robustness was not measured."""
        return summary(self.corruptions) if self.corruptions else {}

    @property
    def corruptions_by_accuracy(self) -> list[dict[str, Any]]:
        """The corruptions, the worst first."""
        return sorted(self.corruptions, key=lambda row: row["accuracy"])

    @property
    def hardest(self) -> list[Mapping[str, Any]]:
        """The classes with the lowest recall, the worst first."""
        return hardest(self.found["per_class"]) if self.found else []

    @property
    def confusions(self) -> list[Pair]:
        """The most frequent errors, the most frequent first."""
        return pairs(self.found["confusion"], self.found["per_class"]) if self.found else []

    @property
    def matrix(self) -> list[list[Cell]]:
        """The confusion matrix; empty if it is too large for a page."""
        return shaded(self.found["confusion"]) if self.found and len(self.found["confusion"]) <= MANY else []

    @property
    def many_classes(self) -> bool:
        """True if the confused pairs say more than the matrix does."""
        return bool(self.found) and len(self.found["per_class"]) > FEW

    @property
    def wrong(self) -> int:
        """Number of misclassified images."""
        return self.found["accuracy"]["images"] - self.found["accuracy"]["right"] if self.found else 0

    @property
    def calibration(self) -> str:
        """One sentence on what the temperature did to the probabilities; empty if there is none."""
        kinds = self.found.get("calibration", {})
        before, after = kinds.get("as_they_are"), kinds.get("calibrated")
        if not before or not after:
            return ""
        names = {"ece": "expected calibration error", "nll": "negative log-likelihood"}
        better = [name for key, name in names.items() if _is_lower(after[key], before[key])]
        worse = [name for name in names.values() if name not in better]
        if not better:
            return "The temperature did not help on these images: neither error is lower with it."
        if worse:
            return f"On these images the temperature lowers the {better[0]}, but not the {worse[0]}."
        return "The temperature helped on these images: it lowers both errors."

    @property
    def cell(self) -> tuple[int, int]:
        """Width and height of an image in the sprite, in pixels; 0 without a sprite."""
        if not self.sprite:
            return 0, 0
        width, height = (int.from_bytes(self.sprite[start : start + 4]) for start in (16, 20))
        return width // ACROSS, height // max(1, self.down)

    @property
    def down(self) -> int:
        """Rows of the sprite."""
        return -(-len(self.found.get("surest_errors", ())) // ACROSS)


def read(place: Place) -> Evaluated:
    """Return the findings about the images of a folder.

    Raises:
        InkwellError: If a file is damaged.
    """
    sprite = reported.picture(place, SPRITE)
    if sprite and not sprite.startswith(PNG):
        raise InkwellError(f"{place.report / SPRITE} is damaged: it is not a PNG image")
    return Evaluated(reported.evaluation(place), reported.corruptions(place), reported.variations(place), sprite)


def _is_lower(after: float | None, before: float | None) -> bool:
    return after is not None and (before is None or (math.isfinite(after) and after < before))
