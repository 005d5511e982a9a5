"""Span planning: how many steps can run as one compiled call before the next interruption."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from trainer.plugin import Every
from trainer.run import Run

SPAN_SECONDS = 0.5
"""Longest span, in wall-clock seconds, and so the longest delay of a signal, a timed hook or the progress display."""


@dataclass
class Pace:
    """A running estimate of the steps per second, which determines the longest span.

    Starts with spans of 1 step, because the first call compiles, and lets a span grow at most fourfold per call,
    because early measurements are unreliable.
    """

    limit: int = 1
    _last: int = field(default=1, repr=False)

    def measured(self, steps: int, seconds: float) -> None:
        """Record that a span of `steps` took `seconds`."""
        fitting = int(steps * SPAN_SECONDS / max(seconds, 1e-9))
        self.limit = max(1, min(fitting, 4 * max(steps, self._last)))
        self._last = max(steps, self._last)


def steps_to_next(run: Run, cadences: Iterable[Every], limit: int) -> int:
    """Return the number of steps until the next interruption.

    Args:
        run: A run with steps left.
        cadences: The cadences of plugins and validation; a span never crosses the end of an epoch or a skipped step.
        limit: Longest span allowed, at least 1.
    """
    ends = [run.steps - run.step, run.steps_per_epoch - run.step % run.steps_per_epoch, limit]
    ends += [every.steps - run.step % every.steps for every in cadences if every.steps is not None]
    ends += [step - 1 - run.step for step in run.skipped if step > run.step + 1]
    return min(ends)
