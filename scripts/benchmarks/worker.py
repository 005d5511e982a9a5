"""The process of a contender: it prepares, says so, then does one turn for each line that it is sent.

Answers are lines of JSON on what was its standard output, which is nothing to the contender's own talk.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

GO, REST = "go\n", "rest\n"


@dataclass(frozen=True)
class Job:
    """What a contender gets.

    Attributes:
        folder: Where it may write.
        images: An .npz file; see `scripts.benchmarks.images`.
        weights: An .npz file of the initial weights, in the order of Keras; empty for the model's own.
        model: A registered model.
        args: Arguments of its builder.
        imports: Modules that register models.
        classes: Number of classes.
        batch_size: Images a batch.
        steps: Batches an epoch.
        extra: What only this contender asks for.
    """

    folder: str
    images: str = ""
    weights: str = ""
    model: str = "lenet"
    args: dict[str, Any] = field(default_factory=dict)
    imports: list[str] = field(default_factory=list)
    classes: int = 10
    batch_size: int = 128
    steps: int = 1
    extra: dict[str, Any] = field(default_factory=dict)

    def train(self) -> tuple[np.ndarray, np.ndarray]:
        """Return training images, uint8 `[N, H, W, C]`, and labels, int32 `[N]`."""
        return _arrays(self.images, "train")

    def test(self) -> tuple[np.ndarray, np.ndarray]:
        """Return other images and labels."""
        return _arrays(self.images, "test")

    def initial(self) -> list[np.ndarray]:
        """Return the initial weights in the order of Keras, convolutions as `[H, W, in, out]`."""
        import numpy as np

        with np.load(self.weights) as file:
            return [file[name] for name in sorted(file.files)]


@cache
def _arrays(path: str, split: str) -> tuple[np.ndarray, np.ndarray]:
    import numpy as np

    with np.load(path) as file:
        return file[f"x_{split}"], file[f"y_{split}"]


class Turns:
    """A contender's side of the conversation."""

    def __init__(self) -> None:
        self._answers = os.fdopen(os.dup(1), "w")
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # bars and summaries that contenders print are not answers
        self._started: float | None = None
        self._background = 0.0

    def ready(self, **facts: Any) -> None:
        """Say that everything is prepared; `wait` comes next."""
        self._say(facts)

    def wait(self, **facts: Any) -> None:
        """End the turn in progress, if there is one, and wait for the next; does not return if there is none.

        What the process computes while it waits (uploads, files written behind the turn) is counted as well: its
        seconds of processor time go with the next turn as `background`.

        Args:
            facts: What else to report of the turn that ends.
        """
        if self._started is not None:
            self._say({"seconds": time.perf_counter() - self._started, "background": self._background, **facts})
        paused = time.process_time()
        while (line := sys.stdin.readline()) == REST:
            paused = time.process_time()
        if line != GO:
            os._exit(0)  # whatever the contender would do now is not measured
        self._background = time.process_time() - paused
        self._started = time.perf_counter()

    def _say(self, facts: dict[str, Any]) -> None:
        print(json.dumps(facts), file=self._answers, flush=True)


def main() -> None:
    """Run the contender that the command line names, `module:function`, on the job in a JSON file."""
    target, job = sys.argv[1:]
    module, _, function = target.partition(":")
    turns = Turns()
    getattr(import_module(module), function)(Job(**json.loads(Path(job).read_text())), turns)


if __name__ == "__main__":
    main()
