"""Rewinds a diverged run to a good checkpoint."""

from __future__ import annotations

from typing import Any

import numpy as np

from plugins.nan_guard import all_finite
from trainer.config.types import Count, Positive
from trainer.errors import UsageError
from trainer.plugin import Every, Plugin
from trainer.registry import plugins
from trainer.run import Run

RECENT, BEFORE = 10, 100
"""Losses compared: the median of the latest 10 with that of the 100 before, so that one hard batch is no spike."""

OUTLIER = 10
"""Factor above the limit for medians at which a single loss counts as a spike: no batch is that hard."""

FLOOR = 0.05
"""Share of the first loss below which losses may jump: a loss near zero easily multiplies."""


@plugins.register("recovery")
class Recovery(Plugin):
    """Rewind to the last good checkpoint when training diverges, and continue without the bad batches.

    The loss and the gradients of every step are checked in order, so that the batches skipped depend on nothing else.
    A batch whose loss or gradients are not finite is skipped. If training fails again without getting further, as many
    more batches before it are skipped as were skipped already, since one step can spoil the next. When the loss spikes,
    all batches of the spike and the one before it are skipped (after Chowdhery et al. 2022, arXiv 2204.02311, section
    5.1). The plugin `checkpoint` determines how far back the last good checkpoint is.

    Args:
        spike: Factor by which the median of 10 losses must exceed the median of the 100 before them (at the start, the
            first loss), or a twentieth of the first loss if that is more; a single loss must exceed ten times that.
            Greater than 1.
        factor: Factor applied to the learning rate from the first skipped batch on, greater than 0 and at most 1.
        retries: Maximum number of recoveries per run, at least 1; the next divergence fails the run.

    Raises:
        ValueError: If an argument is out of range.
    """

    every = Every()
    gradient_norms = True

    def __init__(self, spike: Positive = 5.0, factor: Positive = 0.5, retries: Count = 5) -> None:
        if spike <= 1:
            raise ValueError(f"spike must be greater than 1: {spike}")
        if factor > 1:
            raise ValueError(f"factor must be at most 1: {factor}")
        self.spike, self.factor, self.retries = spike, factor, retries
        self.losses: list[float] = []  # the latest losses, oldest first
        self.first_loss: float | None = None

    def check(self, run: Run) -> None:
        """Check that checkpoints can be saved.

        Raises:
            UsageError: If the run has no directory.
        """
        if run.directory is None:
            raise UsageError("recovery needs a run directory for its checkpoints; give run_dir")

    def on_fit_start(self, run: Run) -> None:
        """Request a first checkpoint to rewind to."""
        if run.step == 0:
            run.save("last")

    def on_step_end(self, run: Run) -> None:
        """Check the losses of the steps since the last call."""
        new = np.asarray(run.losses, np.float64)
        if len(new) == 0:
            return
        norms = np.asarray(run.gradient_norms) if len(run.gradient_norms) else 0.0
        bad = np.flatnonzero(~(np.isfinite(new) & np.isfinite(norms)))
        if len(bad):
            step = run.step - len(new) + 1 + int(bad[0])
            what = "the loss is not finite" if not np.isfinite(new[bad[0]]) else "the gradients are not finite"
            return self._go_back(run, f"{what} at step {step}", step, step)
        self.first_loss = float(new[0]) if self.first_loss is None else self.first_loss
        known = np.array([*self.losses, *new])
        self.losses = known[-(RECENT + BEFORE) :].tolist()
        if new.max() > self.spike * FLOOR * self.first_loss:  # otherwise no median of them can be a spike
            self._look_for_spike(run, known, len(new))

    def _look_for_spike(self, run: Run, losses: np.ndarray, new: int) -> None:
        """Check the last `new` of `losses` one by one; the very last is that of `run.step`."""
        for end in range(len(losses) - new + 1, len(losses) + 1):
            recent, limit = losses[max(0, end - RECENT) : end], self._limit(losses[:end])
            middle = float(np.median(recent)) if len(recent) > RECENT // 2 else 0.0
            if middle > limit or recent[-1] > OUTLIER * limit:
                last = run.step - (len(losses) - end)
                first = last - len(recent) + 1 + int(np.argmax(recent > limit))
                height = max(middle, float(recent[-1]))
                return self._go_back(run, f"the loss rose to {height:.3g} at step {last}", first - 1, last)

    def on_epoch_end(self, run: Run) -> None:
        """Check the weights: their loss is known only after the next step, and they are about to be saved."""
        if not all_finite(run.models.values()):
            self._go_back(run, f"the weights are not finite after step {run.step}", run.step, run.step)

    def _limit(self, losses: np.ndarray) -> float:
        """Return the limit for the median of the most recent `losses`."""
        assert self.first_loss is not None
        before = losses[-(RECENT + BEFORE) : -RECENT]
        usual = float(np.median(before)) if len(before) >= RECENT else self.first_loss
        return self.spike * max(usual, FLOOR * self.first_loss)

    def _go_back(self, run: Run, reason: str, first: int, last: int) -> None:
        """Skip the steps from `first` to `last` (1-based), and more before them if skipping those was in vain."""
        if len(run.recoveries) >= self.retries:
            return run.fail(f"{reason}, after {len(run.recoveries)} recoveries; try a lower learning rate")
        in_vain, begin = 0, first
        for recovery in reversed(run.recoveries):
            if recovery.skip[-1] < begin - 1:
                break
            in_vain, begin = in_vain + 1, recovery.skip[0]
        run.rewind(reason, range(max(1, first - (2**in_vain - 1)), last + 1), self.factor)

    def state(self) -> dict[str, Any]:
        """Return the latest losses and the first one."""
        return {"losses": self.losses, "first_loss": self.first_loss}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        self.losses, self.first_loss = list(state["losses"]), state["first_loss"]
