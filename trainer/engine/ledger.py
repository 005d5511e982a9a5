"""The time ledger: where the wall time of a run went.

| entry | what takes the time |
|---|---|
| `imports` | the process's start and its imports, TensorFlow above all |
| `data` | reading and splitting the data, building the pipeline |
| `build`, `trace` | making model and optimizer; tracing the training step |
| `preflight` | what is looked at before step 0 |
| `steps`, `data_wait` | training steps, and the time that they waited for their batches |
| `validation`, `test` | evaluation, its trace included |
| `checkpoints` | what training waits for of them, and opening the run directory |
| `plugins.<name>` | the hooks of a plugin |
| `loop` | what is between all these |
| `earlier` | the training of the processes before, of a run that was resumed |
| `other` | the rest |
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext

from trainer.stage import Stage

NOTABLE = 0.1
"""The share of the training time from which a wait, or a plugin, is worth a word."""

IN_WORDS = {
    "imports": "loading TensorFlow",
    "data": "reading the data",
    "build": "building the model",
    "trace": "compiling",
    "preflight": "checking model and data",
    "test": "testing",
    "checkpoints": "saving",
}
"""What is announced as the stage in progress (`trainer.stage`) while time goes to an entry.

Training itself is not, nor its validations: that is shown by the plugin `progress`.
"""

BRIEF = 2.0
"""Seconds that nobody minds, whatever their share."""


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
            with announced(name):
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


def announced(name: str) -> AbstractContextManager[object]:
    """Announce an entry as the stage in progress, if it is one that people know."""
    if name.startswith("plugins."):
        return Stage(f"plugin {name.removeprefix('plugins.')}")
    return Stage(IN_WORDS[name]) if name in IN_WORDS else nullcontext()


def bottleneck(seconds: Mapping[str, float]) -> str:
    """Return in words what held the training up, or nothing if its steps did not have to wait.

    Args:
        seconds: The entries of a ledger.
    """
    training = sum(seconds.get(name, 0.0) for name in ("steps", "data_wait", "validation", "checkpoints", "loop"))
    plugins = {name: spent for name, spent in seconds.items() if name.startswith("plugins.")}
    training += sum(plugins.values())
    held_up = {"input-bound: steps waited for their batches": seconds.get("data_wait", 0.0)}
    held_up |= {f"plugin-bound: {name.removeprefix('plugins.')} took": spent for name, spent in plugins.items()}
    worst = max(held_up, key=lambda what: held_up[what])
    share = held_up[worst] / (training or 1.0)
    return f"{worst} {share:.0%} of the time" if share > NOTABLE and held_up[worst] > BRIEF else ""
