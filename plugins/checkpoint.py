"""Asks the engine to keep the best and the last weights."""

from __future__ import annotations

from typing import Any

from plugins.monitor import Best, Mode
from trainer.plugin import Plugin
from trainer.registry import plugins
from trainer.run import Run


@plugins.register("checkpoint")
class Checkpoint(Plugin):
    """Save after every epoch as `last`, and after every look at which `monitor` improved as `best`.

    A look is a validation for a `val_` number, an epoch for any other. The weights of `best` are those that are tested
    and exported, whatever ended the run. Without validation data give `monitor=loss`.

    Args:
        monitor: Name of a logged number.
        mode: `min`, `max`, or `auto`: accuracy, AUC, F1, precision and recall should rise, others fall.

    Raises:
        ValueError: If `mode` is unknown.
    """

    def __init__(self, monitor: str = "val_loss", mode: Mode = "auto") -> None:
        self.monitor = monitor
        self.monitors = (monitor,)
        self.best = Best(monitor, mode)
        self._asked: tuple[int, float] | None = None  # step of the last `best` asked for, and the value before it

    def on_validation_end(self, run: Run) -> None:
        """Save weights that validation finds better."""
        if self.monitor.startswith("val_"):
            self._look(run)

    def on_epoch_end(self, run: Run) -> None:
        """Save the last weights, and those that the epoch's numbers find better."""
        run.save("last")
        if not self.monitor.startswith("val_"):
            self._look(run)

    def _look(self, run: Run) -> None:
        if self._asked is not None and run.saved.get("best") != self._asked[0]:
            self.best.value = self._asked[1]  # the disk refused it: what lies there is still the one to beat
        before = self.best.value
        self._asked = None
        if self.best.improved(run.logs[self.monitor]):
            self._asked = run.step, before
            run.save("best")

    def state(self) -> dict[str, Any]:
        """Return the best value so far."""
        return {"best": self.best.value}

    def restore(self, state: dict[str, Any]) -> None:
        """Take it back."""
        self.best.value = state["best"]
