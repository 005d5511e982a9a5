"""Ends a run whose loss or weights are no longer finite."""

from __future__ import annotations

import math

from plugins.monitor import all_finite
from trainer.plugin import Every, Plugin
from trainer.registry import plugins
from trainer.run import Run


@plugins.register("nan_guard")
class NanGuard(Plugin):
    """Fail the run when the training loss, or a weight, is NaN or infinite: what is lost does not come back.

    The mean loss of the epoch is read, which keeps any NaN since the epoch began. Weights are looked at when an epoch
    ends, before they are saved. The checkpoint before is intact.

    Args:
        every_steps: Steps between two looks, at least 1. A look waits for the device.

    Raises:
        ValueError: If `every_steps` is below 1.
    """

    every = Every(steps=100)

    def __init__(self, every_steps: int = 100) -> None:
        self.every = Every(steps=every_steps)

    def on_step_end(self, run: Run) -> None:
        """Look at the mean loss since the epoch began."""
        self._look(run, run.metrics()["loss"])

    def on_epoch_end(self, run: Run) -> None:
        """Look at the mean loss of the epoch, and at the weights."""
        self._look(run, run.logs["loss"])
        if run.model is not None and not all_finite(run.model):
            self._fail(run, "a weight is no longer finite")

    def _look(self, run: Run, loss: float) -> None:
        if not math.isfinite(loss):
            self._fail(run, f"the training loss is {loss}")

    def _fail(self, run: Run, what: str) -> None:
        run.fail(
            f"{what} at step {run.step} (epoch {run.epoch}); try a lower learning rate, optimizer.clip_norm=1, or the "
            "plugin recovery"
        )
