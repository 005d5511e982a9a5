"""Planning of spans: how many steps may run as one compiled call before somebody wants to look."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from trainer.plugin import Every
from trainer.run import Run

SPAN_SECONDS = 0.5
"""Longest span, in wall seconds: a signal, a clock cadence and the progress display wait no longer."""


@dataclass
class Pace:
    """A running estimate of the steps per second, from which the longest span follows.

    Starts with spans of 1 step, because the first call compiles, and lets a span at most quadruple from call to call,
    because an early measurement says little.
    """

    limit: int = 1
    _last: int = field(default=1, repr=False)

    def measured(self, steps: int, seconds: float) -> None:
        """Take note that a span of `steps` took `seconds`."""
        fitting = int(steps * SPAN_SECONDS / max(seconds, 1e-9))
        self.limit = max(1, min(fitting, 4 * max(steps, self._last)))
        self._last = max(steps, self._last)


def steps_to_next(run: Run, cadences: Iterable[Every], limit: int) -> int:
    """Return the number of steps until the next moment at which somebody looks.

    Args:
        run: A run with steps left.
        cadences: What plugins and validation ask for; a span never crosses the end of an epoch or a step to skip.
        limit: Longest span allowed, at least 1.
    """
    ends = [run.steps - run.step, run.steps_per_epoch - run.step % run.steps_per_epoch, limit]
    ends += [every.steps - run.step % every.steps for every in cadences if every.steps is not None]
    ends += [step - 1 - run.step for step in run.skipped if step > run.step + 1]
    return min(ends)
