"""The process of a contender: it prepares, reports that it is ready, then takes one turn for each line it receives.

Answers are lines of JSON on the original standard output, from which the contender's own output is kept away.
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
    """The task of a contender.

    Attributes:
        folder: Folder that it may write to.
        images: An .npz file; see `scripts.benchmarks.images`.
        weights: An .npz file of initial weights in Keras's order; empty for the model's own initialisation.
        model: A registered model.
        args: Arguments of its builder.
        imports: Modules that register models.
        classes: Number of classes.
        batch_size: Training batch size.
        steps: Batches per epoch.
        extra: Values for this contender only.
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
        """Return test images and labels."""
        return _arrays(self.images, "test")

    def initial(self) -> list[np.ndarray]:
        """Return the initial weights in Keras's order, convolutions as `[H, W, in, out]`."""
        import numpy as np

        with np.load(self.weights) as file:
            return [file[name] for name in sorted(file.files)]


@cache
def _arrays(path: str, split: str) -> tuple[np.ndarray, np.ndarray]:
    import numpy as np

    with np.load(path) as file:
        return file[f"x_{split}"], file[f"y_{split}"]


class Turns:
    """The contender's side of the conversation."""

    def __init__(self) -> None:
        self._answers = os.fdopen(os.dup(1), "w")
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # keep the contender's progress bars apart from answers
        self._started: float | None = None
        self._background = 0.0

    def ready(self, **report: Any) -> None:
        """Report that everything is prepared; `wait` comes next."""
        self._send(report)

    def wait(self, **report: Any) -> None:
        """End the current turn, if any, and wait for the next; if there is none, the process ends here.

        Work that the process does while it waits (uploads, background writing) counts too: its CPU seconds are
        reported with the next turn as `background`.

        Args:
            report: Further values to report about the turn that ends.
        """
        if self._started is not None:
            self._send({"seconds": time.perf_counter() - self._started, "background": self._background, **report})
        paused = time.process_time()
        while (line := sys.stdin.readline()) == REST:
            paused = time.process_time()
        if line != GO:
            os._exit(0)  # whatever the contender would still do is not measured
        self._background = time.process_time() - paused
        self._started = time.perf_counter()

    def _send(self, report: dict[str, Any]) -> None:
        print(json.dumps(report), file=self._answers, flush=True)


def main() -> None:
    """Run the contender named on the command line, `module:function`, on the job in a JSON file."""
    target, job = sys.argv[1:]
    module, _, function = target.partition(":")
    turns = Turns()
    getattr(import_module(module), function)(Job(**json.loads(Path(job).read_text())), turns)


if __name__ == "__main__":
    main()
