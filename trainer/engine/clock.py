"""When something is due: moments between steps, and the cadences that they are held against."""

from __future__ import annotations

import time
from dataclasses import dataclass

from trainer.plugin import Every
from trainer.run import Run


@dataclass(frozen=True)
class Moment:
    """A moment between two steps.

    Attributes:
        step: Optimizer steps done, over the whole run.
        epoch: 1-based number of the epoch in progress or just ended.
        epoch_ended: Whether the last step was the last of its epoch or of the run.
        now: Clock reading, in seconds.
    """

    step: int
    epoch: int
    epoch_ended: bool
    now: float

    @classmethod
    def of(cls, run: Run) -> Moment:
        """Return the moment at which a run is."""
        return cls(run.step, run.epoch, run.epoch_ended, time.perf_counter())


class Due:
    """Answers whether a cadence has come up.

    Args:
        every: The cadence.
        now: Clock reading at the start, in seconds.
    """

    def __init__(self, every: Every, now: float) -> None:
        self.every = every
        self._last = now

    def __call__(self, moment: Moment) -> bool:
        """Return whether the cadence is due at a moment; one that counts seconds starts again then."""
        if self.every.steps is not None:
            return moment.step % self.every.steps == 0
        if self.every.epochs is not None:
            return moment.epoch_ended and moment.epoch % self.every.epochs == 0
        if self.every.seconds is not None and moment.now - self._last < self.every.seconds:
            return False
        self._last = moment.now
        return True
