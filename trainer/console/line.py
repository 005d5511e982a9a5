"""The last line of a terminal, drawn again and again, which makes room for whatever is printed meanwhile."""

from __future__ import annotations

import os
import select
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import RLock
from typing import TextIO

ERASE = "\r\x1b[K"


class Line:
    """A line that is redrawn in place.

    It is written past Python's streams, to a copy of their file descriptor, so that `trainer.startup.without_chatter`,
    which holds back the output of C++ code, does not hold it back. It never waits for a reader and never raises.

    Args:
        stream: The stream whose last line it is, with a file descriptor.

    """

    def __init__(self, stream: TextIO) -> None:
        self._descriptor = os.dup(stream.fileno())
        self._encoding = stream.encoding or "ascii"
        self._lock = RLock()
        self._shown = ""
        self._printing = 0  # how many are printing at the moment
        self._is_open = False  # the text printed last has no end of line yet, such as a question
        self._is_lost = False

    @property
    def unicode(self) -> bool:
        """True if the stream can show more than ASCII."""
        return self._encoding.lower().replace("-", "").replace("_", "") == "utf8"

    @property
    def columns(self) -> int:
        """Width of the terminal."""
        return _columns(self._descriptor)

    def draw(self, text: str) -> None:
        """Show text, which must fit in a line, in place of what was shown; nothing while others print."""
        with self._lock:
            if text != self._shown and not self._printing and not self._is_open:
                self._write(f"{ERASE}{text}" if text else ERASE)
                self._shown = text

    @contextmanager
    def aside(self, text: str) -> Iterator[None]:
        """Erase the line while text is printed, by whatever means."""
        with self._lock:
            self._printing += 1
            if self._shown:
                self._write(ERASE)
                self._shown = ""
        try:
            yield
        finally:
            with self._lock:
                self._printing -= 1
                self._is_open = not text.endswith("\n") if text else self._is_open

    def close(self) -> None:
        """Erase the line for good."""
        with self._lock:
            self.draw("")
            self._is_lost = True
            os.close(self._descriptor)

    def _write(self, text: str) -> None:
        if self._is_lost:
            return
        try:
            if hasattr(select, "poll"):
                poll = select.poll()
                poll.register(self._descriptor, select.POLLOUT)
                if not poll.poll(0):  # nobody reads: the terminal was stopped by Ctrl-S
                    return
            os.write(self._descriptor, text.encode(self._encoding, "backslashreplace"))
        except OSError:
            self._is_lost = True


def columns_of(stream: TextIO | None) -> int | None:
    """Return how wide a stream's terminal is; None if it leads to none, so that lines may have any length."""
    try:
        return _columns(stream.fileno()) if stream is not None and stream.isatty() else None
    except (AttributeError, OSError, ValueError):  # not a file, or closed
        return None


def _columns(descriptor: int) -> int:
    """Return the width of a terminal; the user may say another one in `COLUMNS`."""
    with suppress(KeyError, ValueError):
        return int(os.environ["COLUMNS"]) or 80
    with suppress(OSError):
        return os.get_terminal_size(descriptor).columns or 80
    return 80


def width_of(text: str) -> int:
    """Return how many columns of a terminal a text takes, escape sequences left out."""
    return sum(2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text)


def cut(text: str, columns: int) -> str:
    """Return as much of a text as fits in some columns."""
    while width_of(text) > columns:
        text = text[:-1]
    return text
