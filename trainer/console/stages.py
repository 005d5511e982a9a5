"""Shows the stage in progress (`trainer.stage`) on stderr.

| stderr is | what is shown |
|---|---|
| an interactive terminal | one line, redrawn by a thread and erased at the end |
| a pipe, a file, a dumb terminal, CI | a lasting line for each stage that takes more than `PLAIN_SECONDS` |

Of nested stages, the innermost that has lasted `NESTED_SECONDS` is shown, so that the line does not flicker.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Literal, TextIO

from trainer import stage as announced
from trainer.console import output, style
from trainer.console.line import Line, cut, width_of
from trainer.stage import Stage, in_progress
from trainer.text import in_bytes, printable

Mode = Literal["auto", "rich", "plain", "none"]
"""Form of the progress display: a live line, lasting lines, nothing, or whatever suits stderr."""

DRAWING_SECONDS = 0.1
NESTED_SECONDS = 0.5
TIMED_SECONDS = 2.0
"""Duration from which the seconds of a stage are shown."""
PLAIN_SECONDS = 30.0
"""Duration from which a plain display prints a stage, and its longest silence about one that counts, in seconds."""

BAR = 20
"""Columns of a bar."""


class Live:
    """One line, redrawn in place.

    Args:
        stream: Where it is shown, a file with a descriptor.
    """

    def __init__(self, stream: TextIO) -> None:
        self.line = Line(stream)
        self._colours = style.has_colour(stream)
        self._spinner = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏" if self.line.unicode else "-\\|/"
        self._done, self._open = ("━", "━" if self._colours else " ") if self.line.unicode else ("#", "-")
        output.line = self.line

    def look(self) -> None:
        """Show what is in progress now."""
        if (stage := current(in_progress())) is None:
            return self.line.draw("")
        _bring_up_to_date(stage)
        self.line.draw(self._drawn(stage, self.line.columns - 3))  # a full line would wrap once a terminal echoes ^C

    def close(self) -> None:
        """Erase the line."""
        output.line = None
        self.line.close()

    def _drawn(self, stage: Stage, columns: int) -> str:
        """Return a stage in one line; what does not fit is left out, least important first."""
        turn = self._spinner[int(time.monotonic() / DRAWING_SECONDS) % len(self._spinner)]
        text = cut(printable(stage.text), columns - 2)
        left = columns - 2 - width_of(text)
        first, *others = details(stage) or [""]
        parts = [first] if first and width_of(first) + 2 <= left else []
        left -= sum(width_of(part) + 2 for part in parts)
        bar = self._coloured_bar(stage.done / stage.total) if stage.total and left > BAR else ""
        left -= BAR + 1 if bar else 0
        for part in others:
            if width_of(part) + 2 <= left:
                parts.append(part)
                left -= width_of(part) + 2
        return f"{self._paint(turn, '36')} {text}{bar and ' '}{bar}{''.join(f'  {part}' for part in parts)}"

    def _coloured_bar(self, share: float) -> str:
        full = max(0, min(BAR, int(share * BAR)))
        return f"{self._paint(self._done * full, '32')}{self._paint(self._open * (BAR - full), '2')}"

    def _paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colours and text else text


class Plain:
    """Few, lasting lines."""

    def __init__(self) -> None:
        self._said: dict[str, float] = {}

    def look(self) -> None:
        """Print each stage that takes a while once, and now and then how far a counted one is."""
        for stage in in_progress():
            _bring_up_to_date(stage)
            now, before = time.monotonic(), self._said.get(stage.text)
            due = stage.seconds >= PLAIN_SECONDS if before is None else stage.total and now - before >= PLAIN_SECONDS
            if due and not stage.details:
                self._said[stage.text] = now
                output.say("  ".join([stage.text, *(details(stage) if stage.total else [])]))

    def close(self) -> None:
        """Do nothing: the lines stay."""


class Watch:
    """Watches the stages in progress, from a thread and whenever one begins, and updates a display.

    Args:
        display: The display.
    """

    def __init__(self, display: Live | Plain) -> None:
        self._display = display
        self._over = threading.Event()
        self._looking = threading.Lock()
        self._looked = 0.0
        announced.on_begin = self.look
        self._thread = threading.Thread(target=self._watch, name="stages", daemon=True)
        self._thread.start()

    def look(self) -> None:
        """Show what is in progress, unless that was just done."""
        now = time.monotonic()
        if now - self._looked < DRAWING_SECONDS / 2 or not self._looking.acquire(blocking=False):
            return
        try:
            self._looked = now
            with suppress(Exception):  # a stage may fail to report its progress
                self._display.look()
        finally:
            self._looking.release()

    def stop(self) -> None:
        """Show nothing from now on."""
        announced.on_begin = None
        self._over.set()
        if self._thread is not threading.current_thread():
            self._thread.join(timeout=1)
        with self._looking:
            self._display.close()

    def _watch(self) -> None:
        while not self._over.wait(DRAWING_SECONDS):
            self.look()


_watch: Watch | None = None


def show(mode: Mode = "auto") -> None:
    """Show stages from now on, in place of the previous display."""
    global _watch
    hide()
    way = chosen(mode)
    if way != "none":
        _watch = Watch(Live(sys.stderr) if way == "rich" else Plain())


def hide() -> None:
    """Stop showing stages."""
    global _watch
    if _watch is not None:
        _watch.stop()
        _watch = None


def is_shown() -> bool:
    """Return True if stages are shown."""
    return _watch is not None


@contextmanager
def shown(mode: Mode) -> Iterator[None]:
    """Show stages for the duration, unless they are shown already."""
    if is_shown():
        yield
        return
    show(mode)
    try:
        yield
    finally:
        hide()


def chosen(mode: Mode) -> Mode:
    """Return how to show progress; `auto` becomes `rich` in an interactive terminal, else `plain`."""
    if mode in ("plain", "none"):
        return mode
    lively = mode == "rich" or (style.is_terminal(sys.stderr) and not os.environ.get("CI"))
    return "rich" if _has_descriptor(sys.stderr) and lively else "plain"


def _has_descriptor(stream: TextIO) -> bool:
    try:
        return stream.fileno() >= 0
    except (AttributeError, OSError, ValueError):
        return False


def current(stages: Sequence[Stage]) -> Stage | None:
    """Return the stage to show: the innermost that has lasted for a moment, else the outermost; None if there is none.

    Args:
        stages: The stages in progress, the outermost first.
    """
    lasting = [stage for stage in stages[1:] if stage.seconds >= NESTED_SECONDS]
    return [*stages[:1], *lasting][-1] if stages else None


def details(stage: Stage) -> list[str]:
    """Return the details of a stage besides its text, most important first: progress and time left."""
    if stage.details:
        return list(map(printable, stage.details))
    seconds = stage.seconds
    if not stage.total:
        spent = f"{seconds:.0f} s" if seconds < 60 else duration(seconds)
        return [spent] if seconds >= TIMED_SECONDS else []
    amount = in_bytes if stage.unit == "bytes" else "{:,}".format
    of = f"{amount(stage.done)} of {amount(stage.total)}{f' {stage.unit}' if stage.unit not in ('', 'bytes') else ''}"
    left = seconds / stage.done * (stage.total - stage.done) if stage.done else 0.0
    return [of, *([f"{duration(left)} left"] if left and seconds >= TIMED_SECONDS else [])]


def duration(seconds: float) -> str:
    """Return a duration as `[hours:]minutes:seconds`."""
    hours, minutes = divmod(round(seconds) // 60, 60)
    return f"{hours}:{minutes:02d}:{round(seconds) % 60:02d}" if hours else f"{minutes}:{round(seconds) % 60:02d}"


def _bring_up_to_date(stage: Stage) -> None:
    if stage.look is not None:
        stage.look(stage)
