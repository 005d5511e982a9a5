"""Lines on stderr while a source works for long before training starts."""

from __future__ import annotations

import sys
import time

SECONDS = 5.0
"""Time between two lines; what is done sooner says nothing."""


class Progress:
    """Says how far a count has come, how fast it grows, and how long it will take.

    Args:
        what: What is done, for people.
        total: What the count will be at the end.
    """

    def __init__(self, what: str, total: int) -> None:
        self.what, self.total, self.done = what, total, 0
        self._start = self._said = time.monotonic()

    def advance(self, number: int) -> None:
        """Add to the count, and print a line if the last one is long past."""
        self.done += number
        now = time.monotonic()
        if now - self._said < SECONDS:
            return
        self._said, rate = now, self.done / (now - self._start)
        minutes, seconds = divmod(round((self.total - self.done) / rate), 60)
        print(
            f"{self.what}: {self.done:,} of {self.total:,} images, {rate:,.0f} images/s, {minutes}:{seconds:02} left",
            file=sys.stderr,
            flush=True,
        )
