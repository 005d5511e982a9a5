"""Lasting lines about training: the plan, the numbers of each epoch, and a sign of life during a long one."""

from __future__ import annotations

import sys
import textwrap
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from trainer.console.line import columns_of, width_of
from trainer.console.output import say
from trainer.console.stages import duration
from trainer.console.tables import table
from trainer.run import ENGINE_LOGS, Run
from trainer.text import printable

SILENCE = 30.0
"""Longest silence, in seconds."""


class Lines:
    """One line per epoch, and one every half minute of a long epoch or validation."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def step(self, run: Run) -> None:
        """Print the state of training after a long silence."""
        if self._is_due():
            numbers = "  ".join(described(run.metrics()))
            self._say(f"epoch {run.epoch}/{run.epochs}  step {run.step}/{run.steps}  {numbers}  {time_left(run)} left")

    def validation(self, run: Run) -> None:
        """Print the state of the validation after a long silence."""
        if self._is_due():
            of = f"/{run.validation_steps}" if run.validation_steps is not None else ""
            self._say(f"epoch {run.epoch}/{run.epochs}  validation {run.validation_step}{of}")

    def validated(self, run: Run) -> None:
        """Say nothing; the line of the epoch follows."""

    def epoch(self, run: Run) -> None:
        """Print the numbers of an epoch."""
        self._say(epoch_line(run))

    def close(self) -> None:
        """Do nothing: the lines stay."""

    def _is_due(self) -> bool:
        return time.monotonic() - self._last >= SILENCE

    def _say(self, line: str) -> None:
        self._last = time.monotonic()
        say(line)


class Cell(NamedTuple):
    """A column of a line.

    Attributes:
        text: Its content.
        importance: Where there is no room for all cells, the least important goes first.
    """

    text: str
    importance: int


def epoch_line(run: Run) -> str:
    """Return the line of the epoch that has just ended, no wider than the terminal, if stderr is one.

    Numbers have widths that do not change, so that the columns of epochs are under one another.
    """
    return "  ".join(cell.text for cell in fitting(_cells(run), columns_of(sys.stderr))).rstrip()


def _cells(run: Run) -> list[Cell]:
    without = {*ENGINE_LOGS, *run.learning_rates}
    numbers = {name: value for name, value in run.logs.items() if name not in without}
    seconds, speed = run.logs.get("seconds", 0.0), run.logs.get("images_per_second", 0.0)
    more = run.step < run.steps and not run.stop_reason  # else the column stays, so that the others keep their place
    return [
        Cell(f"epoch {run.epoch:>{len(str(run.epochs))}}/{run.epochs}", 9),
        *(Cell(text, _importance(name)) for name, text in zip(numbers, described(numbers), strict=True)),
        Cell(f"{seconds:4.1f} s", 3),
        Cell(f"{speed:6,.0f} images/s", 2),
        Cell(f"{time_left(run)} left" if more else "", 4),
    ]


def _importance(name: str) -> int:
    """Return how important a number is: training numbers go first, and of validations the accuracy stays longest."""
    return (6 if "accuracy" in name else 5) if name.startswith("val_") else 1


def fitting(cells: Sequence[Cell], columns: int | None) -> list[Cell]:
    """Return the cells that fit in a line with two spaces between them, in order; None is any number of columns."""
    kept = list(cells)
    while columns is not None and len(kept) > 1 and width_of("  ".join(cell.text for cell in kept)) > columns:
        least = min(cell.importance for cell in kept)
        kept.remove([cell for cell in kept if cell.importance == least][-1])
    return kept


def described(numbers: Mapping[str, float]) -> list[str]:
    """Return names with values: accuracies in percent, all else with four decimals."""
    return [f"{printable(name)} {_value(name, value)}" for name, value in numbers.items()]


def _value(name: str, value: float) -> str:
    return f"{100 * value:6.2f} %" if name.endswith("accuracy") else f"{value:.4f}"


def time_left(run: Run) -> str:
    """Return an estimate of the time to the planned end, as `[hours:]minutes:seconds`."""
    return duration(run.seconds / run.step * (run.steps - run.step)) if run.step else "-:--"


def plan_lines(plan: Sequence[tuple[str, str]]) -> list[str]:
    """Return the rows of a plan as lines, wrapped between words where stderr is a terminal too narrow for them."""
    if not plan:
        return []
    columns, indent = columns_of(sys.stderr), max(len(label) for label, _ in plan) + 2
    lines = table(list(plan)).split("\n")
    if columns is None or columns < indent + 20:
        return lines
    wrapper = textwrap.TextWrapper(
        columns, subsequent_indent=" " * indent, drop_whitespace=True, break_long_words=False, break_on_hyphens=False
    )
    return [part for line in lines for part in _wrapped(line, indent, wrapper)]


def _wrapped(line: str, indent: int, wrapper: textwrap.TextWrapper) -> list[str]:
    """Return a line in several, with the spaces that align its label kept."""
    label, text = line[:indent], line[indent:]
    wrapper.initial_indent = label
    return wrapper.wrap(text) or [line]
