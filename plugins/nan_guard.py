"""Ends a run whose loss is no longer finite."""

from __future__ import annotations

import math

from trainer.plugin import Every, Plugin
from trainer.registry import plugins
from trainer.run import Run


@plugins.register("nan_guard")
class NanGuard(Plugin):
    """Fail the run when the training loss is NaN or infinite: weights that are lost do not come back.

    The mean loss of the epoch is read, which keeps any NaN since the epoch began; the checkpoint before is intact.

    Args:
        every_steps: Steps between two looks, at least 1. A look waits for the device.

    Raises:
        ValueError: If `every_steps` is below 1.
    """

    def __init__(self, every_steps: int = 100) -> None:
        self.every = Every(steps=every_steps)

    def on_step_end(self, run: Run) -> None:
        """Look at the mean loss since the epoch began."""
        self._look(run, run.metrics()["loss"])

    def on_epoch_end(self, run: Run) -> None:
        """Look at the mean loss of the epoch."""
        self._look(run, run.logs["loss"])

    def _look(self, run: Run, loss: float) -> None:
        if not math.isfinite(loss):
            run.fail(
                f"the training loss is {loss} at step {run.step} (epoch {run.epoch}); "
                "try a lower learning rate, or optimizer.clip_norm=1"
            )
