"""The reading of a picture by a recognizer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trainer.display.shown import Shown
from trainer.text import in_line

Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels of the picture; right and bottom are exclusive."""


@dataclass(frozen=True, repr=False)
class Reading(Shown):
    """The reading of one picture.

    Attributes:
        label: Name of the class; None if the picture is refused.
        probability: Probability of the most probable class, in [0, 1], refused or not.
        probabilities: Calibrated probabilities of all classes, float64 `[K]`, in the order of the model's classes.
        reason: Why it is refused, in plain words; None if it is accepted.
        seen: The image that the model saw, uint8 `[H, W, C]`.
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
        reading: The reading of the digit, which is never refused.
        box: Its position in the picture.
    """

    reading: Reading
    box: Box


@dataclass(frozen=True, repr=False)
class Line(Shown):
    """Digits side by side.

    Attributes:
        digits: The digits from left to right.
    """

    digits: tuple[Digit, ...]

    def _line(self) -> str:
        return in_line(self.text)

    @property
    def text(self) -> str:
        """The number that the digits form."""
        return "".join(str(digit.reading.label) for digit in self.digits)

    @property
    def box(self) -> Box:
        """The position of the line in the picture."""
        left, top, right, bottom = zip(*(digit.box for digit in self.digits), strict=True)
        return min(left), min(top), max(right), max(bottom)
