"""The progress of training in a notebook: a bar that moves, and below it the epochs, as HTML that is updated in place.

What is shown last is what a saved notebook keeps: how the run ended, its epochs and their curves.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from markupsafe import Markup

from trainer.display.epochs import epochs, number
from trainer.display.html import GRAY, GREEN, ORANGE, bar, card, definitions, note, place
from trainer.run import Run
from trainer.text import in_line, printable


def is_here() -> bool:
    """Return True if this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")  # it is imported wherever there is a kernel
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


class NotebookDisplay:
    """Shows one run in the output of the cell that trains.

    Args:
        run: The run, before step 0.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._status, self._epochs = Area(), Area()
        self._show("compiling the training step")
        self._epochs.show(card("The plan", definitions(run.plan)) if run.plan else "", "")

    def step(self, run: Run) -> None:
        """Show how far training is, and the training numbers."""
        numbers = [f"{name.replace('_', ' ')} {number(name, value)}" for name, value in run.metrics().items()]
        self._show(", ".join([f"epoch {run.epoch}/{run.epochs}", *numbers, f"{time_left(run)} left"]))

    def validation(self, run: Run) -> None:
        """Show how far the validation is."""
        of = f" of {run.validation_steps}" if run.validation_steps is not None else " batches"
        self._show(f"epoch {run.epoch}/{run.epochs}, validating, {run.validation_step}{of}")

    def validated(self, run: Run) -> None:
        """Show that training continues."""
        self._show(f"epoch {run.epoch}/{run.epochs}")

    def epoch(self, run: Run) -> None:
        """Add an epoch, which the history does not have yet, to the table and to the curves."""
        before = [line for line in run.history if line["step"] < run.step]
        line = {"kind": "epoch", "epoch": run.epoch, "step": run.step, **run.logs}
        self._epochs.show(card("", epochs([*before, line], run.steps_per_epoch)), f"epoch {run.epoch}/{run.epochs}")
        ends = run.step >= run.steps or run.stop_reason
        self._show("testing and reporting" if ends else f"epoch {run.epoch}/{run.epochs}, {time_left(run)} left")

    def close(self) -> None:
        """Show how the run ended, for good."""
        self._status.show(ending(self._run), repr(self._run))

    def _show(self, text: str) -> None:
        done, total = self._run.step, self._run.steps
        line = Markup(
            '{} <span style="margin-left:8px">{:.0f} %</span> <span style="color:{};margin-left:8px">{}</span>'
        )
        share = done / (total or 1)
        self._status.show(
            card(self._run.name, line.format(bar(share), 100 * share, GRAY, printable(text))), f"{share:.0%}, {text}"
        )


class Area:
    """A part of the output of a cell, which each `show` replaces."""

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, html: str, text: str) -> None:
        """Show HTML; where none can be shown, text."""
        from IPython.display import display

        content = {"text/html": str(html), "text/plain": text}
        if self._handle is None:
            self._handle = display(content, raw=True, display_id=True)
        else:
            self._handle.update(content, raw=True)


def ending(run: Run) -> Markup:
    """Return how a run ended: its result, or why there is none and what to do."""
    if run.status == "done":
        stopped = [note(f"stopped early: {run.stop_reason}")] if run.stop_reason else []
        return _colored(GREEN, run.result.headline or "done", *stopped, *_places(run))
    if run.status == "interrupted":
        return _colored(ORANGE, f"{run.stop_reason}; {run.way_back}", *_places(run))
    return _colored(ORANGE, f"failed: {run.stop_reason}", *_places(run))


def _colored(colour: str, title: str, *parts: str) -> Markup:
    dot = Markup('<span style="color:{}">●</span> {}').format(colour, printable(title))
    return card(dot, *parts)


def _places(run: Run) -> list[Markup]:
    """Return where the run and its report lie, as far as there are files."""
    if run.directory is None:
        return []
    folder = place(run.directory)
    page = Path(folder, "report", "index.html")
    if not page.is_file():
        return [note(folder)]
    link = Markup('<a href="{}">{}</a>').format(page.as_posix(), in_line(page))
    return [Markup('<span style="color:{}">report: </span>{}').format(GRAY, link)]


def time_left(run: Run) -> str:
    """Return an estimate of the time to the planned end, as minutes and seconds."""
    if not run.step:
        return "-:--"
    minutes, seconds = divmod(round(run.seconds / run.step * (run.steps - run.step)), 60)
    return f"{minutes}:{seconds:02d}"
