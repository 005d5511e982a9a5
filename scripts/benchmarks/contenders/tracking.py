"""Training that logs metrics every few steps, and sends them to MLflow in every other epoch."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection

import psutil

from plugins.mlflow.mirror import CHANNELS
from plugins.mlflow.worker import Worker
from trainer.data.imageset import ImageSet
from trainer.engine.durations import Durations
from trainer.engine.ledger import Ledger
from trainer.plugin import Plugin
from trainer.run import Run

from ..worker import Job, Turns
from .inkwell import ENDLESS, configuration, kernels, session


class Pauser(Plugin):
    """Keeps MLflow's worker idle in the first epoch of each turn, and lets it do the work of both in the second.

    A turn reports the seconds of both epochs, and the CPU time of the worker in them.

    Args:
        turns: A turn is a pair of epochs.
    """

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.epochs: list[float] = []
        self._may_work = threading.Event()
        self._worker: Worker | None = None
        self._started = self._worked = 0.0

    def on_epoch_start(self, run: Run) -> None:
        """Stop the clock of the previous epoch; after a pair, end the turn."""
        now = time.perf_counter()
        if run.epoch > 1:
            self.epochs.append(now - self._started)
        if run.epoch % 2:
            worked = self._processor_time()
            pair = self.epochs[-2:]
            about = {"without": pair[0], "with": pair[1], "worker": worked - self._worked} if pair else {}
            self.turns.wait(**about)
            self._worked = self._processor_time()
            self._may_work.clear()
        else:
            self._may_work.set()
        self._started = time.perf_counter()

    def on_epoch_end(self, run: Run) -> None:
        """Take control of the worker as soon as it exists."""
        if self._worker is None:
            self._worker = next(thread for thread in threading.enumerate() if isinstance(thread, Worker))
            update = self._worker.mirror.update

            def paused(ended: str | None, wanted: Collection[str] = CHANNELS) -> None:
                self._may_work.wait()
                update(ended, wanted)

            self._worker.mirror.update = paused  # type: ignore[method-assign]

    def _processor_time(self) -> float:
        """Return the CPU seconds used by the worker so far."""
        known = {thread.id: thread.user_time + thread.system_time for thread in psutil.Process().threads()}
        return known.get(self._worker.native_id, 0.0) if self._worker is not None else 0.0


def run(job: Job, turns: Turns) -> None:
    """Train without validation and without other plugins."""
    config = configuration(job)
    config.plugins.clear()
    config.plugins["mlflow"] = {}
    made = session(job, config, [Pauser(turns)], Ledger())
    made.trainer.kernels = kernels(job)
    from trainer.data.pipeline import TrainingRows

    train = TrainingRows(ImageSet(*job.train()), job.batch_size, 0, "none")
    turns.ready(params=made.trainer.model.count_params())
    made.trainer.data = made.data.describe()
    made.trainer.fit(train, durations=Durations(epochs=ENDLESS, log_every=job.extra["log_every"]))
