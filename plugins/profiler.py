"""A trace of a few training steps by TensorFlow's profiler: every operation, on every thread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import tensorflow as tf

from trainer.run import Run

WARM_UP = 20
"""Steps before the trace: the first ones compile and allocate."""

STEPS = 20
"""Steps in the trace; more make it unwieldy."""


class Profiler:
    """Traces one span of a run, once.

    Args:
        folder: Where the trace is written; None traces nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def limit(self, run: Run) -> int | None:
        """Return how long the next span may be, or None if that does not matter."""
        if self.folder is None:
            return None
        return STEPS if run.step >= WARM_UP else WARM_UP - run.step

    @contextmanager
    def watching(self, run: Run, count: int) -> Iterator[None]:
        """Trace the span inside, of `count` steps, if it is its turn, and tell how the trace is opened."""
        if self.folder is None or run.step < WARM_UP:
            yield
            return
        first, folder, self.folder = run.step + 1, self.folder, None
        with tf.profiler.experimental.Profile(str(folder)):
            yield
        run.say(
            f"profile of steps {first} to {first + count - 1} in {folder}; to look at it: pip install xprof, then "
            f"xprof --logdir {folder}"
        )
