"""The time ledger: where the wall time of a run went.

| entry | what takes the time |
|---|---|
| `imports` | starting the process and importing, TensorFlow above all |
| `data` | reading and splitting the data, building the pipeline |
| `build`, `trace` | making model and optimizer; tracing the training step |
| `preflight` | the checks before step 0 |
| `steps`, `data_wait` | training steps, and the time that they waited for their batches |
| `validation`, `test` | evaluation, its trace included |
| `checkpoints` | waiting for checkpoints, and opening the run directory |
| `plugins.<name>` | the hooks of a plugin |
| `loop` | everything between these |
| `earlier` | training in earlier processes, of a resumed run |
| `other` | the rest |
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext

from trainer.stage import Stage

NOTABLE = 0.1
"""Share of the training time above which a wait, or a plugin, is worth mentioning."""

IN_WORDS = {
    "imports": "loading TensorFlow",
    "data": "reading the data",
    "build": "building the model",
    "trace": "compiling",
    "preflight": "checking model and data",
    "test": "testing",
    "checkpoints": "saving",
}
"""Entries that are announced as the stage in progress (`trainer.stage`), in words.

Training and its validations are not among them: the plugin `progress` shows those.
"""

BRIEF = 2.0
"""Seconds that nobody minds, whatever share of the time they are."""


class Ledger:
    """Seconds by name; a time inside another is subtracted from the outer one, so that nothing counts twice.

    Args:
        started: Clock reading from which the wall time counts; default: now.
        clock: Function that returns seconds, of which only differences count.
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
        """Count all wall time that is not accounted for yet as `name`."""
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
    """Return the bottleneck of the training in words; empty if its steps did not have to wait.

    Args:
        seconds: The entries of a ledger.
    """
    training = sum(seconds.get(name, 0.0) for name in ("steps", "data_wait", "validation", "checkpoints", "loop"))
    plugins = {name: spent for name, spent in seconds.items() if name.startswith("plugins.")}
    training += sum(plugins.values())
    waits = {"input pipeline, which steps waited for": seconds.get("data_wait", 0.0)}
    waits |= {f"plugin {name.removeprefix('plugins.')}": spent for name, spent in plugins.items()}
    worst = max(waits, key=lambda what: waits[what])
    share = waits[worst] / (training or 1.0)
    return f"{worst} ({100 * share:.0f} % of the time)" if share > NOTABLE and waits[worst] > BRIEF else ""
