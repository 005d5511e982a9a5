"""The bar of a run at the bottom of a terminal, above it a lasting line for each epoch."""

from __future__ import annotations

from plugins.progress.lines import described, epoch_line, time_left
from trainer.console.output import say
from trainer.run import Run
from trainer.stage import Stage


class Bar:
    """Training as the stage in progress, with a bar for the whole run; see `trainer.console.stages`."""

    def __init__(self) -> None:
        self._stage = Stage("training")
        self._stage.__enter__()

    def step(self, run: Run) -> None:
        """Show how far the run is, and the training numbers."""
        self._show(run, f"{time_left(run)} left", *described(run.metrics()), rate(run))

    def validation(self, run: Run) -> None:
        """Show how far the validation is."""
        of = f" of {run.validation_steps}" if run.validation_steps is not None else " batches"
        done = f" {run.validation_step}{of}" if run.validation_step else ""
        self._show(run, f"validating{done}", f"{time_left(run)} left")

    def validated(self, run: Run) -> None:
        """Show the bar alone."""
        self._show(run, f"{time_left(run)} left")

    def epoch(self, run: Run) -> None:
        """Print the line of the epoch above the bar."""
        say(epoch_line(run))
        self._show(run, f"{time_left(run)} left" if run.step < run.steps else "finishing")

    def close(self) -> None:
        """Remove the bar."""
        self._stage.__exit__(None, None, None)

    def _show(self, run: Run, *details: str) -> None:
        self._stage.text = f"run {100 * run.step // max(run.steps, 1)} %, epoch {run.epoch}/{run.epochs}"
        self._stage.total, self._stage.done = run.steps, run.step
        self._stage.details = details


def rate(run: Run) -> str:
    """Return the steps per second since the run began; empty before the first."""
    if not run.seconds:
        return ""
    speed = run.step / run.seconds
    return f"{speed:.{0 if speed >= 10 else 1}f} steps/s"
