"""Moments between steps, and the cadences that decide what is due."""

from __future__ import annotations

import time
from dataclasses import dataclass

from trainer.plugin import Every
from trainer.run import Run


@dataclass(frozen=True)
class Moment:
    """A moment between two steps.

    Attributes:
        step: Optimizer steps completed in the whole run.
        epoch: 1-based number of the epoch in progress or just ended.
        epoch_ended: True if the last step was the last of its epoch or of the run.
        now: Clock reading, in seconds.
    """

    step: int
    epoch: int
    epoch_ended: bool
    now: float

    @classmethod
    def of(cls, run: Run) -> Moment:
        """Return the current moment of a run."""
        return cls(run.step, run.epoch, run.epoch_ended, time.perf_counter())


class Due:
    """A cadence together with the time at which it was last due.

    Args:
        every: The cadence.
        now: Clock reading at the start, in seconds.
    """

    def __init__(self, every: Every, now: float) -> None:
        self.every = every
        self._last = now

    def __call__(self, moment: Moment) -> bool:
        """Return True if the cadence is due; a cadence in seconds then starts again."""
        if self.every.steps is not None:
            return moment.step % self.every.steps == 0
        if self.every.epochs is not None:
            return moment.epoch_ended and moment.epoch % self.every.epochs == 0
        if self.every.seconds is not None and moment.now - self._last < self.every.seconds:
            return False
        self._last = moment.now
        return True
