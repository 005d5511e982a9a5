"""Stops training when a metric no longer improves."""

from __future__ import annotations

import math
from typing import Any

from plugins.monitor import Best, Mode
from trainer.plugin import Plugin
from trainer.registry import plugins
from trainer.run import Run


@plugins.register("early_stopping")
class EarlyStopping(Plugin):
    """Stop when a monitored metric has not improved `patience` times in a row.

    A metric whose name begins with `val_` is read after every validation, any other after every epoch. Patience does
    not end a run before its `min_steps`.

    Args:
        monitor: Name of a logged metric.
        min_delta: Minimum change that counts as an improvement, at least 0.
        patience: Number of consecutive values without improvement after which training stops, at least 1.
        mode: `min`, `max`, or `auto` to infer it from the name (see `plugins.monitor.direction`).
        threshold: Stop as soon as the metric is at least this good.
        divergence: Stop as soon as the metric is worse than this, NaN or infinite.

    Raises:
        ValueError: If `patience`, `min_delta` or `mode` is out of range, or `auto` cannot infer the mode.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 5,
        mode: Mode = "auto",
        threshold: float | None = None,
        divergence: float | None = None,
    ) -> None:
        if patience < 1:
            raise ValueError(f"patience must be at least 1: {patience}")
        self.monitor, self.patience = monitor, patience
        self.monitors = (monitor,)
        self.threshold, self.divergence = threshold, divergence
        self.best = Best(monitor, mode, min_delta)
        self.waited = 0

    def on_validation_end(self, run: Run) -> None:
        """Check a validation metric."""
        if self.monitor.startswith("val_"):
            self._look(run)

    def on_epoch_end(self, run: Run) -> None:
        """Check a metric of the epoch."""
        if not self.monitor.startswith("val_"):
            self._look(run)

    def _look(self, run: Run) -> None:
        value = self.best.read(run)
        self.waited = 0 if self.best.improved(value) else self.waited + 1
        if self.threshold is not None and self.best.reached(value, self.threshold):
            run.stop(f"{self.monitor} {value:.4g} reached the threshold {self.threshold:g}")
        elif self.divergence is not None and (
            not math.isfinite(value) or not self.best.reached(value, self.divergence)
        ):
            run.stop(f"{self.monitor} {value:.4g} is worse than {self.divergence:g}")
        elif self.waited >= self.patience and run.step >= run.min_steps:
            unit = "validation" if self.monitor.startswith("val_") else "epoch"
            times = f"{self.waited} {unit}{'s' if self.waited > 1 else ''}"
            run.stop(f"{self.monitor} has not improved on {self.best.value:.4g} for {times}")

    def state(self) -> dict[str, Any]:
        """Return the best value so far and the number of values since."""
        return {"best": self.best.state(), "waited": self.waited}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        self.best.restore(state["best"])
        self.waited = state["waited"]
