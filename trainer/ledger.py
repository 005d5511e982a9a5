"""The time ledger: where the wall time of a run went."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Ledger:
    """Seconds by name; times taken inside another are taken off the outer one, so that nothing counts twice.

    Args:
        started: Clock reading from which the wall time counts; default: now.
        clock: Returns seconds; only differences count.
    """

    def __init__(self, started: float | None = None, clock: Callable[[], float] = time.perf_counter) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.clock = clock
        self.started = clock() if started is None else started
        self._inner = [0.0]

    def wall(self) -> float:
        """Return the wall seconds since the start."""
        return self.clock() - self.started

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Add the time of the `with` block to `name`."""
        start = self.clock()
        self._inner.append(0.0)
        try:
            yield
        finally:
            spent = self.clock() - start
            self.seconds[name] += spent - self._inner.pop()
            self._inner[-1] += spent

    def move(self, seconds: float, source: str, target: str) -> None:
        """Count seconds that were counted as `source` as `target` instead."""
        self.seconds[source] -= seconds
        self.seconds[target] += seconds

    def rest(self, name: str) -> None:
        """Count all wall time that has no name yet as `name`."""
        self.seconds[name] += self.wall() - sum(self.seconds.values())

    def rounded(self) -> dict[str, float]:
        """Return the seconds by name, to milliseconds."""
        return {name: round(seconds, 3) for name, seconds in self.seconds.items()}
