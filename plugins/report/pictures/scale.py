"""Scales of a chart: where a value lies on its axis, and which values are written beside it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

DECADE = ((1, 2, 5), (1, 3), (1,))
"""Steps within a decade that a logarithmic axis may name, the finest first."""
LARGEST = 1e100
"""Size of a number from which on no axis shows it."""


@dataclass(frozen=True)
class Scale:
    """The range of an axis, linear or logarithmic.

    Attributes:
        low: Value at the beginning of the axis; above 0 if it is logarithmic.
        high: Value at its end, above `low`.
        log: Equal factors are equally far apart.
        percent: Values are shares, written as percentages.
        whole: Only whole numbers are written beside the axis.
    """

    low: float
    high: float
    log: bool = False
    percent: bool = False
    whole: bool = False

    def place(self, value: float) -> float:
        """Return where a value lies: 0 at the beginning of the axis, 1 at its end."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def shows(self, value: float) -> bool:
        """Return True if a value has a place on the axis."""
        return is_drawn(value, self.log)

    def ticks(self, most: int = 6) -> list[float]:
        """Return at most `most` round values within the range."""
        if self.log:
            for steps in DECADE:
                found = self._decades(steps)
                if 2 <= len(found) <= most:
                    return found
            if len(found) > most:  # many decades: every second one, every third, ...
                return found[:: -(-len(found) // most)]
        return self._round_values(most)

    def text(self, value: float) -> str:
        """Return a value as it is written beside the axis."""
        if self.percent:
            return f"{100 * value:.5g} %"
        return f"{value:,.0f}" if 1e4 <= abs(value) < 1e7 else f"{value:.5g}".replace("e+", "e")

    def _decades(self, steps: Iterable[int]) -> list[float]:
        exponents = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        found = (step * 10.0**exponent for exponent in exponents for step in steps)
        return [value for value in found if self.low <= value <= self.high]

    def _round_values(self, most: int) -> list[float]:
        step = _round_step((self.high - self.low) / most)
        if self.whole:
            step = max(1.0, step)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [k * step for k in range(first, last + 1)]


def is_drawn(value: float, log: bool = False) -> bool:
    """Return True if a value can be on an axis: finite, of a size that floats can scale, above 0 if logarithmic."""
    return abs(value) < LARGEST and (not log or value > 1 / LARGEST)


def around(values: Iterable[float], *, log: bool = False, percent: bool = False) -> Scale:
    """Return a scale that shows all values with a margin; that of shares does not leave 0 to 1.

    Args:
        values: At least one number that `is_drawn`.
        log: Make it logarithmic.
        percent: Write the values as percentages.
    """
    values = list(values)
    low, high = min(values), max(values)
    if log:
        factor = max((high / low) ** 0.06, 1.05)
        return Scale(low / factor, high * factor, log=True, percent=percent)
    margin = _margin(high - low, max(abs(low), abs(high)))
    if percent and low >= 0 and high <= 1:
        return Scale(max(low - margin, 0.0), min(high + margin, 1.0), percent=True)
    return Scale(low - margin, high + margin, percent=percent)


def _margin(reach: float, size: float) -> float:
    """Return the room on either side of values that lie within `reach` of each other, and are of a size."""
    if reach > max(1e-6 * size, 1 / LARGEST):
        return 0.06 * reach
    return 0.05 * size if size > 1 / LARGEST else 1.0


def _round_step(least: float) -> float:
    """Return the smallest step of 1, 2 or 5 times a power of ten that is no smaller than `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next((step * power for step in (1, 2, 5) if step * power >= least * (1 - 1e-9)), 10 * power)
