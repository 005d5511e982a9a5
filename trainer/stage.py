"""The stage in progress: code that may take long announces what it is doing, and displays read it here.

    with Stage("decoding mnist", total=60_000, unit="images") as progress:
        progress.done += 128

Nothing is printed here, so that any floor may announce a stage; `trainer.console.stages` shows it in a terminal.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import TracebackType


class Stage:
    """An activity that takes a while: a `with` block, in any thread.

    Args:
        text: The activity, such as `reading mnist`.
        total: Amount of work; 0 if unknown.
        unit: Unit of the amount, such as `images`; `bytes` are shown as sizes.

    Attributes:
        done: Amount done so far.
        details: Short texts to show instead of the amount, most important first.
        look: Function that updates the other attributes, called before they are shown.
        started: Clock reading at the beginning, in seconds.
    """

    def __init__(self, text: str, total: int = 0, unit: str = "") -> None:
        self.text, self.total, self.unit = text, total, unit
        self.done = 0
        self.details: Sequence[str] = ()
        self.look: Callable[[Stage], None] | None = None
        self.started = 0.0

    def __enter__(self) -> Stage:
        self.started = time.monotonic()
        _in_progress.append(self)
        if on_begin is not None:
            on_begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self in _in_progress:
            _in_progress.remove(self)

    @property
    def seconds(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self.started


_in_progress: list[Stage] = []  # changes and copies are atomic in Python, so no lock is needed

on_begin: Callable[[], None] | None = None
"""Called when a stage begins, so that a display need not wait for its next update; set by `trainer.console.stages`."""


def in_progress() -> tuple[Stage, ...]:
    """Return the stages in progress, the outermost first."""
    return tuple(_in_progress)
