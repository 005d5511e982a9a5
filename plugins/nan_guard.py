"""Ends a run whose loss or weights are no longer finite."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from trainer.plugin import Every, Plugin
from trainer.registry import plugins
from trainer.run import Run


@plugins.register("nan_guard")
class NanGuard(Plugin):
    """Fail the run when the training loss or a weight is NaN or infinite, since neither recovers on its own.

    The check uses the epoch's mean loss, which any NaN since the start of the epoch makes NaN. Weights are checked at
    the end of an epoch, before they are saved, so that the last checkpoint is sound.

    Args:
        every_steps: Steps between two checks, at least 1. A check waits for the device.

    Raises:
        ValueError: If `every_steps` is below 1.
    """

    every = Every(steps=100)

    def __init__(self, every_steps: int = 100) -> None:
        self.every = Every(steps=every_steps)

    def on_step_end(self, run: Run) -> None:
        """Check the mean loss since the start of the epoch."""
        self._check(run, run.metrics()["loss"])

    def on_epoch_end(self, run: Run) -> None:
        """Check the mean loss of the epoch, and the weights."""
        self._check(run, run.logs["loss"])
        if not all_finite(run.models.values()):
            self._fail(run, "a weight is NaN or infinite")

    def _check(self, run: Run, loss: float) -> None:
        if not math.isfinite(loss):
            self._fail(run, f"the training loss is {loss}")

    def _fail(self, run: Run, problem: str) -> None:
        run.fail(
            f"{problem} at step {run.step} (epoch {run.epoch}); try a lower learning rate, optimizer.clip_norm=1, or "
            "the plugin recovery"
        )


def all_finite(models: Iterable[Any]) -> bool:
    """Return True if no weight of Keras models is NaN or infinite.

    The loss alone may not show it: a ReLU turns NaN into 0.
    """
    import numpy as np

    return all(bool(np.isfinite(np.asarray(weight)).all()) for model in models for weight in model.weights)
