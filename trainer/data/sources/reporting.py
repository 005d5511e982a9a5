"""Lines for people during long work outside training, such as decoding a data set."""

from __future__ import annotations

import logging
import time

logger = logging.getLogger("trainer")


SECONDS = 5.0
"""Seconds between two lines; work that takes less says nothing."""


class StatusLine:
    """Says how many of the images are done, how fast that goes, and how long the rest will take.

    Args:
        what: Name of the work, for people.
        total: Number of images in all.
    """

    def __init__(self, what: str, total: int) -> None:
        self.what, self.total, self.done = what, total, 0
        self._start = self._said = time.monotonic()

    def advance(self, number: int) -> None:
        """Count `number` more images as done, and log a line if the last one is `SECONDS` old."""
        self.done += number
        now = time.monotonic()
        if now - self._said < SECONDS:
            return
        self._said, rate = now, self.done / (now - self._start)
        minutes, seconds = divmod(round((self.total - self.done) / rate), 60)
        done = f"{self.what}: {self.done:,} of {self.total:,} images"
        logger.info("%s, %s images/s, %d:%02d left", done, f"{rate:,.0f}", minutes, seconds)
