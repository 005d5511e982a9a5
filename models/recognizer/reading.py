"""What a recognizer says of a picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trainer.display.shown import Shown
from trainer.text import in_line

Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels of the picture; right and bottom lie outside."""


@dataclass(frozen=True, repr=False)
class Reading(Shown):
    """What was read in one picture.

    Attributes:
        label: Name of the class that was read; None if the picture is refused.
        probability: Of the most probable class, in [0, 1], whether refused or not.
        probabilities: Those of all classes, float64 `[K]`, calibrated, in the order of the model's classes.
        reason: Why it is refused, in plain words; None if it is not.
        seen: What the model saw, uint8 `[H, W, C]`.
    """

    label: str | None
    probability: float
    probabilities: np.ndarray
    reason: str | None
    seen: np.ndarray

    def _line(self) -> str:
        if self.label is None:
            return f"refused: {in_line(self.reason)}"
        return f"{in_line(self.label)}, {100 * self.probability:.1f} %"

    def _card(self) -> str:
        from trainer.display.html import card
        from trainer.display.picture import strip

        return card(repr(self), strip([(self.seen, "what was seen")]))


@dataclass(frozen=True)
class Digit:
    """A digit among others.

    Attributes:
        reading: What was read; never refused.
        box: Where it lies.
    """

    reading: Reading
    box: Box


@dataclass(frozen=True, repr=False)
class Line(Shown):
    """Digits that stand side by side.

    Attributes:
        digits: From left to right.
    """

    digits: tuple[Digit, ...]

    def _line(self) -> str:
        return in_line(self.text)

    @property
    def text(self) -> str:
        """The number that the digits make."""
        return "".join(str(digit.reading.label) for digit in self.digits)

    @property
    def box(self) -> Box:
        """Where the line lies."""
        left, top, right, bottom = zip(*(digit.box for digit in self.digits), strict=True)
        return min(left), min(top), max(right), max(bottom)
