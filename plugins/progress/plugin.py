"""Shows the progress of training on stderr: the plugin, and which display it uses."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from plugins.progress.bar import Bar
from plugins.progress.lines import Lines, plan_lines
from trainer.console import notebook, stages, style
from trainer.console.output import say
from trainer.plugin import Every, Plugin
from trainer.registry import plugins
from trainer.run import Run


class Display(Protocol):
    """Display of the progress of one run, from the start of training to its end."""

    def step(self, run: Run) -> None:
        """Show how far training is."""

    def validation(self, run: Run) -> None:
        """Show how far the validation in progress is."""

    def validated(self, run: Run) -> None:
        """Show that the validation is over."""

    def epoch(self, run: Run) -> None:
        """Show the numbers of an epoch, for good."""

    def close(self) -> None:
        """Remove what is not to stay."""


def display_for(mode: stages.Mode) -> Display | None:
    """Return the display for a mode, as suits the terminal of this process; None if it shows nothing."""
    chosen = stages.chosen(mode)
    if chosen == "none":
        return None
    return Bar() if chosen == "rich" else Lines()


@plugins.register("progress")
class Progress(Plugin):
    """Show progress, speed, time left and the numbers of each epoch.

    Args:
        mode: `rich` for a bar, `plain` for lines, `none` for silence, or `auto`: a bar if stderr is an interactive
            terminal (not a dumb one, and not in CI), otherwise lines. In a notebook, `rich` and `auto` show a table
            that updates in place.
    """

    observer = True
    every = Every(seconds=0.25)

    def __init__(self, mode: stages.Mode = "auto") -> None:
        self.mode = mode
        self._display: Display | None = None
        self._shown: AbstractContextManager[None] | None = None

    def on_fit_start(self, run: Run) -> None:
        """Print the plan and open the display."""
        if stages.chosen(self.mode) == "none":
            return
        if self.mode != "plain" and notebook.is_here():
            self._display = notebook.NotebookDisplay(run)
            return
        self._shown = stages.shown(self.mode)
        self._shown.__enter__()
        for line in plan_lines(run.plan):
            say(line, style.dim)
        self._display = display_for(self.mode)

    def on_step_end(self, run: Run) -> None:
        """Update the display; training numbers are read here and nowhere else between two epochs."""
        if self._display is not None:
            self._display.step(run)

    def on_validation_start(self, run: Run) -> None:
        """Show that a validation begins."""
        if self._display is not None:
            self._display.validation(run)

    def on_validation_step(self, run: Run) -> None:
        """Show how far the validation is."""
        if self._display is not None:
            self._display.validation(run)

    def on_validation_end(self, run: Run) -> None:
        """Show that the validation is over."""
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
        if self._shown is not None:
            self._shown.__exit__(None, None, None)
        self._display = self._shown = None
