"""Saves the best and the latest weights."""

from __future__ import annotations

from typing import Any

from plugins.monitor import AUTO, Best, Mode
from trainer.config.types import Count, Positive
from trainer.plugin import Every, Plugin
from trainer.registry import plugins
from trainer.run import Run, logger


@plugins.register("checkpoint")
class Checkpoint(Plugin):
    """Save the weights as `last` at regular intervals, and as `best` whenever `monitor` improves.

    A metric whose name begins with `val_` is read after every validation, any other after every epoch. The `best`
    weights are the ones tested and exported, however the run ended. The end of
    training and an exception also save `last`; signals and the STOP file are handled by the engine.

    Args:
        monitor: Name of a logged metric; with None, only `last` is saved, and the last weights are tested. `auto` is
            `val_loss`, or `val_balanced_accuracy` where classes are unbalanced, or None without validation data.
        mode: `min`, `max`, or `auto` to infer it from the name (see `plugins.monitor.direction`).
        keep: Number of best checkpoints to keep; the runners-up have the roles `top-<step>`.
        every_epochs: Epochs between two saves of `last`.
        every_steps: Steps between two saves of `last`, instead of `every_epochs`.
        every_minutes: Minutes between two saves of `last`, instead of `every_epochs`.

    Raises:
        ValueError: If `mode` is unknown, `auto` cannot infer it, or both steps and minutes are given.
    """

    every = Every(epochs=1)

    def __init__(
        self,
        monitor: str | None = AUTO,
        mode: Mode = "auto",
        keep: Count = 1,
        every_epochs: Count = 1,
        every_steps: Count | None = None,
        every_minutes: Positive | None = None,
    ) -> None:
        if every_steps is not None and every_minutes is not None:
            raise ValueError("give every_steps or every_minutes, not both")
        self.keep = keep
        self.checkpoints = keep + 1  # plus `last`
        self.monitors = (monitor,) if monitor not in (None, AUTO) else ()
        self.every = Every(epochs=every_epochs)
        if every_steps is not None:
            self.every = Every(steps=every_steps)
        elif every_minutes is not None:
            self.every = Every(seconds=60 * every_minutes)
        self.best = Best(monitor, mode) if monitor is not None else None
        self.top: list[tuple[float, str]] = []  # value and role, best first
        self._asked: tuple[int, float, list[tuple[float, str]]] | None = None

    def check(self, run: Run) -> None:
        """Take the metric that the task has chosen, if none was given."""
        if self.best is None or self.best.given != AUTO:
            return
        if run.monitor is None:
            self.best = None
            return
        self.best.follow(run)
        if self.best.monitor != "val_loss":
            logger.warning("the best weights are chosen by %s, since classes are unbalanced", self.best.monitor)

    def on_step_end(self, run: Run) -> None:
        """Save `last` on schedule."""
        run.save("last")

    def on_validation_end(self, run: Run) -> None:
        """Save the weights if validation improved."""
        if self.best is not None and self.best.monitor.startswith("val_"):
            self._look(run, self.best)

    def on_epoch_end(self, run: Run) -> None:
        """Save the final weights of the run, and the weights of this epoch if its metrics improved."""
        if run.stop_reason or run.step == run.steps:
            run.save("last")
        if self.best is not None and not self.best.monitor.startswith("val_"):
            self._look(run, self.best)

    def on_exception(self, run: Run) -> None:
        """Save the current weights, unless they are the reason for the failure."""
        if not run.failed:
            run.save("last")

    def _look(self, run: Run, best: Best) -> None:
        if self._asked is not None and run.saved.get("best") != self._asked[0]:
            _, best.value, self.top = self._asked  # the save failed, so the previous best is still the one to beat
        before = run.step, best.value, list(self.top)
        self._asked = None
        value = best.read(run)
        if best.improved(value):
            self._asked = before
            run.save("best")
        if self.keep > 1:
            self._rank(run, best.sign, value)

    def _rank(self, run: Run, sign: int, value: float) -> None:
        """Keep the `keep` best checkpoints; ties go to the older."""
        role = f"top-{run.step:07d}"
        ranked = sorted([*self.top, (value, role)], key=lambda entry: -sign * entry[0])
        self.top = [entry for entry in ranked if entry[0] == entry[0]][: self.keep]  # drops NaN
        if (value, role) in self.top:
            run.save(role)
        run.drop(*(old for _, old in ranked if old not in {kept for _, kept in self.top} and old != role))

    def state(self) -> dict[str, Any]:
        """Return the best value so far and the best checkpoints."""
        best = self.best.state() if self.best is not None else None
        return {"best": best, "top": [list(entry) for entry in self.top]}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        if self.best is not None:
            self.best.restore(state["best"])
        self._asked = None
        self.top = [(value, role) for value, role in state["top"]]
