"""Progress messages during long work outside training, such as decoding a data set."""

from __future__ import annotations

import logging
import time

logger = logging.getLogger("trainer")


SECONDS = 5.0
"""Seconds between two messages; work that takes less time logs nothing."""


class StatusLine:
    """Logs the number of processed images, the rate, and the time left.

    Args:
        what: Description of the work.
        total: Total number of images.
    """

    def __init__(self, what: str, total: int) -> None:
        self.what, self.total, self.done = what, total, 0
        self._start = self._logged = time.monotonic()

    def advance(self, number: int) -> None:
        """Count `number` more images as done, and log a message if the last one is `SECONDS` old."""
        self.done += number
        now = time.monotonic()
        if now - self._logged < SECONDS:
            return
        self._logged, rate = now, self.done / (now - self._start)
        minutes, seconds = divmod(round((self.total - self.done) / rate), 60)
        done = f"{self.what}: {self.done:,} of {self.total:,} images"
        logger.info("%s, %s images/s, %d:%02d left", done, f"{rate:,.0f}", minutes, seconds)
