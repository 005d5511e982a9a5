"""Shows the progress of training on stderr: a live display in a terminal, otherwise one plain line per epoch."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Literal

from trainer.console import notebook
from trainer.console.output import for_display
from trainer.console.tables import table
from trainer.plugin import Every, Plugin
from trainer.registry import plugins
from trainer.run import Run
from trainer.text import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as RichProgress

PLAIN_SECONDS = 30.0
"""Longest silence of the plain display, in seconds."""


@plugins.register("progress")
class Progress(Plugin):
    """Show progress, speed, time left and the numbers of each epoch.

    Args:
        mode: `rich` for bars, `plain` for lines, `none` for silence, or `auto`: bars if stderr is an interactive
            terminal (not a dumb one, and not in CI), otherwise lines. In a notebook, bars are a display of its own.
    """

    observer = True
    every = Every(seconds=0.25)

    def __init__(self, mode: Literal["auto", "rich", "plain", "none"] = "auto") -> None:
        self.mode = mode
        self._display: _Bars | _Lines | notebook.NotebookDisplay | None = None

    def on_fit_start(self, run: Run) -> None:
        """Print the plan and open the display."""
        if self.mode == "none":
            return
        if self.mode != "plain" and notebook.is_here():
            self._display = notebook.NotebookDisplay(run)
            return
        from rich.console import Console

        forced = True if self.mode == "rich" else None
        # Names are shown as they are, whatever they look like.
        console = Console(file=for_display(), force_terminal=forced, highlight=False, markup=False, emoji=False)
        lively = console.is_interactive and os.environ.get("TERM") != "dumb" and not os.environ.get("CI")
        bars = self.mode == "rich" or (self.mode == "auto" and lively)
        if run.plan:
            console.print(table(run.plan), style="dim", soft_wrap=True)
        self._display = _Bars(console, run) if bars else _Lines(console)

    def on_step_end(self, run: Run) -> None:
        """Update the display; training numbers are read here and nowhere else between two epochs."""
        if self._display is not None:
            self._display.step(run)

    def on_validation_start(self, run: Run) -> None:
        """Show the bar of the validation."""
        if self._display is not None:
            self._display.validation(run)

    def on_validation_step(self, run: Run) -> None:
        """Update the bar of the validation."""
        if self._display is not None:
            self._display.validation(run)

    def on_validation_end(self, run: Run) -> None:
        """Hide the bar of the validation."""
        if self._display is not None:
            self._display.validated(run)

    def on_epoch_end(self, run: Run) -> None:
        """Print the line of the epoch."""
        if self._display is not None:
            self._display.epoch(run)

    def on_fit_end(self, run: Run) -> None:
        """Close the display."""
        if self._display is not None:
            self._display.close()


class _Lines:
    """One line per epoch, and one every half minute of a long epoch or validation."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._last = time.monotonic()

    def step(self, run: Run) -> None:
        if time.monotonic() - self._last >= PLAIN_SECONDS:
            numbers = describe(run.metrics())
            self._say(f"epoch {run.epoch}/{run.epochs}  step {run.step}/{run.steps}  {numbers}  {time_left(run)} left")

    def validation(self, run: Run) -> None:
        if time.monotonic() - self._last >= PLAIN_SECONDS:
            self._say(f"epoch {run.epoch}/{run.epochs}  validation {run.validation_step}/{run.validation_steps}")

    def validated(self, run: Run) -> None:
        pass

    def epoch(self, run: Run) -> None:
        self._say(epoch_line(run))

    def close(self) -> None:
        pass

    def _say(self, line: str) -> None:
        self._last = time.monotonic()
        self.console.print(line, soft_wrap=True)


class _Bars:
    """A bar for the run, a temporary one for each validation, and a lasting line for each epoch."""

    def __init__(self, console: Console, run: Run) -> None:
        from rich.progress import BarColumn, SpinnerColumn, TextColumn
        from rich.progress import Progress as RichProgress

        ascii_only = (console.encoding or "").lower() not in ("utf-8", "utf8", "utf_8")
        spinner = SpinnerColumn("line" if ascii_only else "dots")
        self.console = console
        self.bars: RichProgress = RichProgress(
            *(spinner, TextColumn("{task.description}"), BarColumn(24)),
            TextColumn("{task.fields[numbers]}", markup=False),
            console=console,
            transient=True,
            refresh_per_second=8,
        )
        self.training = self.bars.add_task("epoch 1", total=run.steps, numbers="compiling")
        self.validating = self.bars.add_task("validation", total=run.validation_steps, numbers="", visible=False)
        self.bars.start()

    def step(self, run: Run) -> None:
        numbers = f"{describe(run.metrics())}  {rate(run)}  {time_left(run)} left"
        self._show(run, numbers)

    def validation(self, run: Run) -> None:
        done = f"{run.validation_step}/{run.validation_steps}"
        self.bars.update(self.validating, completed=run.validation_step, numbers=done, visible=True)

    def validated(self, run: Run) -> None:
        self.bars.update(self.validating, completed=0, visible=False)

    def epoch(self, run: Run) -> None:
        self.console.print(epoch_line(run), soft_wrap=True)
        self._show(run, f"{time_left(run)} left")

    def close(self) -> None:
        self.bars.stop()

    def _show(self, run: Run, numbers: str) -> None:
        self.bars.update(
            self.training, completed=run.step, description=f"epoch {run.epoch}/{run.epochs}", numbers=numbers
        )


def epoch_line(run: Run) -> str:
    """Return the line for an epoch that has ended."""
    names = [name for name in run.logs if name not in ("learning_rate", "seconds", "images_per_second")]
    numbers = describe({name: run.logs[name] for name in names})
    width = len(str(run.epochs))
    left = f"  {time_left(run)} left" if run.step < run.steps and not run.stop_reason else ""
    seconds, speed = run.logs.get("seconds", 0.0), run.logs.get("images_per_second", 0.0)
    return f"epoch {run.epoch:>{width}}/{run.epochs}  {numbers}  {seconds:.1f} s  {speed:,.0f} images/s{left}"


def describe(numbers: dict[str, float]) -> str:
    """Return names and values, with four decimals."""
    return "  ".join(f"{printable(name)} {value:.4f}" for name, value in numbers.items())


def rate(run: Run) -> str:
    """Return the steps per second since the run began, or nothing before the first."""
    return f"{run.step / run.seconds:.0f} steps/s" if run.seconds else ""


def time_left(run: Run) -> str:
    """Return an estimate of the time to the planned end, as `[hours:]minutes:seconds`."""
    if not run.step:
        return "-:--"
    seconds = round(run.seconds / run.step * (run.steps - run.step))
    hours, minutes = divmod(seconds // 60, 60)
    return f"{hours}:{minutes:02d}:{seconds % 60:02d}" if hours else f"{minutes}:{seconds % 60:02d}"
