"""Training that saves at regular intervals in every other epoch."""

from __future__ import annotations

import time

from trainer.data.imageset import ImageSet
from trainer.engine.ledger import Ledger
from trainer.plugin import Every, Plugin
from trainer.run import Run

from ..worker import Job, Turns
from .inkwell import ENDLESS, configuration, session


class Saver(Plugin):
    """Requests saves in the second epoch of each turn, and none in the first.

    A turn reports the seconds of both epochs, and the pause of each save: the ledger's time for checkpoints. No save is
    requested in the last steps of an epoch, so that background writing ends within the epoch.

    Args:
        turns: A turn is a pair of epochs.
        ledger: The trainer's time ledger.
        every: Steps between two saves.
    """

    every = Every(steps=1)

    def __init__(self, turns: Turns, ledger: Ledger, every: int) -> None:
        self.turns, self.ledger, self.every = turns, ledger, Every(steps=every)
        self.epochs: list[float] = []
        self.pauses: list[float] = []
        self._paused = 0.0
        self._pending = False
        self._started = 0.0

    def on_epoch_start(self, run: Run) -> None:
        """Stop the clock of the previous epoch; after a pair, end the turn."""
        now = time.perf_counter()
        self._note()
        if run.epoch > 1:
            self.epochs.append(now - self._started)
        if run.epoch % 2:
            pair = self.epochs[-2:]
            self.turns.wait(**({"without": pair[0], "with": pair[1], "pauses": self.pauses} if pair else {}))
            self.pauses = []
        self._started = time.perf_counter()

    def on_step_end(self, run: Run) -> None:
        """Save, in every other epoch."""
        self._note()
        within = (run.step - 1) % run.steps_per_epoch + 1
        if run.epoch % 2 == 0 and within + (self.every.steps or 0) <= run.steps_per_epoch:
            run.save("last")
            self._pending = True

    def _note(self) -> None:
        """Record how long the previous save paused training."""
        paused = self.ledger.seconds["checkpoints"]
        if self._pending:
            self.pauses.append(paused - self._paused)
        self._paused, self._pending = paused, False


def run(job: Job, turns: Turns) -> None:
    """Train without validation and without other plugins, which would also save."""
    ledger, every = Ledger(), job.extra["every"]
    saver = Saver(turns, ledger, every)
    config = configuration(job)
    config.plugins.clear()
    made = session(job, config, [saver], ledger)
    from trainer.data.pipeline import TrainingRows

    train = TrainingRows(ImageSet(*job.train()), job.batch_size, 0, "none")
    turns.ready(params=made.trainer.model.count_params(), saves=saves_of(train.steps_per_epoch, every))
    made.trainer.data = made.data.describe()
    made.trainer.fit(train, epochs=ENDLESS)


def saves_of(steps: int, every: int) -> int:
    """Return the minimum number of saves in an epoch of `steps` steps; it need not start at a multiple of `every`."""
    return max(0, steps // every - 1)
