"""Epochs of the trainer with all its plugins, each followed by a bare epoch of the same compiled functions."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from plugins.mlflow.worker import POLL_SECONDS
from trainer.plugin import Plugin
from trainer.run import Run

from ..nets import registered
from ..worker import Job, Turns
from .bare import BareLoop
from .inkwell import configuration, session

if TYPE_CHECKING:
    from trainer.session import Session


class Pairs(Plugin):
    """Times each epoch of the trainer, including validation and all plugins, and a bare epoch after it.

    Args:
        job: The job; training uses the session's data, not the job's.
        turns: A turn is a pair of epochs.
    """

    session: Session  # assembled with this plugin, and therefore set later

    def __init__(self, job: Job, turns: Turns) -> None:
        self.job, self.turns = job, turns
        self.started = 0.0

    def on_epoch_start(self, run: Run) -> None:
        """Stop the clock of the previous epoch, whose checkpoint has been requested by now."""
        if run.epoch == 1:
            self.turns.wait()
        else:
            trainer = time.perf_counter() - self.started + self._aftermath()
            self.turns.wait(trainer=trainer, bare=self.bare.epoch())
        self.started = time.perf_counter()

    def on_fit_start(self, run: Run) -> None:
        """Compile the bare loop."""
        made = self.session
        model = registered(self.job)
        self.bare = BareLoop(made.config, model, made.data.train, made.data.validation)
        self.turns.ready(params=model.count_params(), steps=run.steps_per_epoch)

    def _aftermath(self) -> float:
        """Wait until the epoch's checkpoint is written and MLflow has its metrics; return the CPU cost of both.

        They happen in the background and would otherwise count as part of the bare epoch.
        """
        before = time.process_time()
        time.sleep(POLL_SECONDS + 0.5)
        return (time.process_time() - before) / (os.cpu_count() or 1)


def run(job: Job, turns: Turns) -> None:
    """Train on the data named in `extra`, with `extra["idle"]` additional plugins that do nothing."""
    extra = job.extra
    config = configuration(job, "light", name=extra["data"], folder=extra["data_dir"])
    pairs = Pairs(job, turns)
    pairs.session = session(job, config, [pairs, *idle(extra["idle"])])
    pairs.session.trainer.fit(pairs.session.data, **pairs.session.arguments())


def idle(count: int) -> list[Plugin]:
    """Return plugins that do nothing: every other one overrides a hook with an empty method."""

    def nothing(self: Plugin, run: Run) -> None:
        pass

    bodies = [{}, {"on_epoch_end": nothing}]
    return [type(f"Idle{number}", (Plugin,), dict(bodies[number % 2]))() for number in range(count)]
