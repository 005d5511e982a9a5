"""Output to people: results on stdout by `show`, all else on stderr by `say`. No failure to print harms a run.

| the reader | stderr | stdout |
|---|---|---|
| has gone: `head`, a closed terminal, `2>&-` | nothing more is written | the same; this is no failure |
| has a full disk | what does not fit is lost | the same; a command that only prints fails |
| has stopped reading: Ctrl-S, `less` | waits `PATIENCE` seconds, then drops the line | waits: no result is lost |
| cannot show a character | gets an escape sequence that names it | the same |

Output of others (plugins, libraries, tracebacks, `warnings`) is treated in the same way, since `sys.stdout` and
`sys.stderr` themselves are guarded. Output of C++ code is not: it fails without harm, but it waits for a reader.
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, TextIO, cast

from trainer.console import style
from trainer.console.line import Line, columns_of, width_of
from trainer.text import first_line, printable, printable_lines, program

PATIENCE = 1.0
"""Longest wait for a reader of stderr that has stopped reading, in seconds."""

GONE = {errno.EPIPE, errno.EIO, errno.EBADF, errno.ENXIO, errno.ECONNRESET}
"""Errors of a reader that will not come back: a pipe without one, a closed terminal, a closed file descriptor."""


line: Line | None = None
"""The line that is redrawn below everything printed to a terminal, while there is one; see `trainer.console.stages`."""


def say(text: str, styled: Callable[[str, TextIO], str] | None = None) -> None:
    """Write a message for people, which no program reads, to stderr: one line, at once.

    In a terminal that is narrower, it is wrapped between words.

    Args:
        text: The line.
        styled: How it looks in a terminal, such as `trainer.console.style.warning`.
    """
    text = _wrapped(printable(text))
    _guard(sys.stderr, PATIENCE).put(styled(text, sys.stderr) if styled is not None else text)


def say_error(message: str) -> None:
    """Write the reason why this program failed to stderr: one line, whose label stands out in a terminal."""
    text = _wrapped(f"{program()}: error: {printable(' '.join(message.splitlines()))}")
    _guard(sys.stderr, PATIENCE).put(text.replace("error:", style.error("error:", sys.stderr), 1))


def _wrapped(text: str) -> str:
    """Return a line for stderr as several, broken between words, if it is too wide for a terminal there."""
    columns = columns_of(sys.stderr)
    if columns is None or width_of(text) <= columns:
        return text
    return "\n".join(textwrap.wrap(text, columns, break_long_words=False, break_on_hyphens=False))


def show(text: str, *, as_is: bool = False, kept: bool = False) -> None:
    """Write a result to stdout: a line or more, at once.

    Args:
        text: The result.
        as_is: True if the text may hold control characters on purpose, such as colours.
        kept: True if a file says the same, so that the command has not failed if this cannot be written.
    """
    stream = _guard(sys.stdout)
    written = stream.put(text if as_is else printable_lines(text))
    if not (written or stream.has_gone or kept):
        stream.lost = stream.failure


def is_read() -> bool:
    """Return False once the reader of stdout has gone, so that a command that only prints may end."""
    return not _guard(sys.stdout).has_gone


@contextmanager
def guarded() -> Iterator[None]:
    """Guard `sys.stdout` and `sys.stderr` meanwhile: whoever prints, no failure to do so is raised."""
    before = sys.stdout, sys.stderr
    guard_streams()
    ours = sys.stdout, sys.stderr
    try:
        yield
    finally:
        if sys.stdout is ours[0]:
            sys.stdout = before[0]
        if sys.stderr is ours[1]:
            sys.stderr = before[1]


def guard_streams() -> None:
    """Guard `sys.stdout` and `sys.stderr` for good.

    Where the process was started without a standard stream, its file descriptor is taken: else the next file that is
    opened gets it, a checkpoint perhaps, and what C++ code tells stderr is written into that.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, this one
    sys.stdout = cast(TextIO, _guard(sys.stdout))
    sys.stderr = cast(TextIO, _guard(sys.stderr, PATIENCE))


def loss() -> str:
    """Return why a result could not be written to stdout; empty if nothing was lost, or the reader left on purpose."""
    lost = _guard(sys.stdout).lost
    return (getattr(lost, "strerror", None) or first_line(lost)) if lost is not None else ""


class GuardedStream:
    """A text stream whose `write` and `flush` never raise; all else is that of the stream beneath.

    Args:
        stream: The stream beneath; None is one whose reader has gone.
        patience: Seconds to wait for a reader that has stopped reading; None is for ever.

    Attributes:
        failure: The last error of the stream.
        has_gone: True once nobody will ever read it again.
        lost: The error that kept a result from being written.
    """

    def __init__(self, stream: TextIO | None, patience: float | None) -> None:
        self._stream = io.StringIO() if stream is None else stream
        self._patience = self._wait = patience
        self.failure: Exception | None = None
        self.lost: Exception | None = None
        self.has_gone = stream is None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write text, with escape sequences for the characters that the stream's encoding lacks."""
        self._attempt(lambda: self._encode(text), text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write texts one after the other."""
        self.write("".join(lines))

    def flush(self) -> None:
        """Flush what is buffered."""
        self._attempt(self._stream.flush, "")

    def put(self, text: str) -> bool:
        """Write text as lines of their own and flush it; return True if that succeeded."""

        def whole() -> None:
            self._encode(f"{text}\n")
            self._stream.flush()

        return self._attempt(whole, f"{text}\n")

    def _encode(self, text: str) -> None:
        try:
            self._stream.write(text)
        except UnicodeEncodeError as error:
            self._stream.write(text.encode(error.encoding, "backslashreplace").decode(error.encoding))

    def _attempt(self, action: Callable[[], object], text: str) -> bool:
        """Do something with the stream; return True if that succeeded.

        Args:
            action: Writes or flushes.
            text: The text that it writes.
        """
        if self.has_gone or not self._is_ready():
            return False
        try:
            shares_screen = line is not None and text and self._stream.isatty()
            with line.aside(text) if line is not None and shares_screen else nullcontext():
                action()
        except Exception as error:  # whatever a program has put in the place of a stream may raise anything
            self.failure = error
            self.has_gone = getattr(error, "errno", None) in GONE or bool(getattr(self._stream, "closed", False))
            return False
        return True

    def _is_ready(self) -> bool:
        """Return True if the stream takes a line without waiting; a reader that has stopped is waited for once."""
        if self._patience is None or not hasattr(select, "poll"):
            return True
        try:
            poll = select.poll()
            poll.register(self._stream.fileno(), select.POLLOUT)
            ready = bool(poll.poll(1000 * (self._wait or 0)))
        except Exception:  # no file beneath
            return True
        self._wait = self._patience if ready else 0
        return ready


def _guard(stream: TextIO | GuardedStream | None, patience: float | None = None) -> GuardedStream:
    """Return a stream with a guard, its own if it has one."""
    return stream if isinstance(stream, GuardedStream) else GuardedStream(stream, patience)
