"""Inkwell's trainer on few or many images: turns of equal steps, regardless of epochs."""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from trainer import startup
from trainer.data.imageset import ImageSet
from trainer.plugin import Every, Plugin
from trainer.run import Run

from ..nets import LEARNING_RATE, registered
from ..worker import Job, Turns


class Gate(Plugin):
    """Ends a turn at a fixed interval of steps, and reports its number of images and the peak memory."""

    every = Every(steps=1)

    def __init__(self, turns: Turns, steps: int, images: int, batch_size: int) -> None:
        self.turns, self.every = turns, Every(steps=steps)
        self.images, self.batch_size = images, batch_size

    def on_fit_start(self, run: Run) -> None:
        """Wait for the first turn."""
        self.turns.wait()

    def on_step_end(self, run: Run) -> None:
        """Wait for the next turn."""
        float(run.loss)
        seen = self._seen(run, run.step) - self._seen(run, run.step - (self.every.steps or 0))
        self.turns.wait(images=seen, peak_bytes=peak_bytes())

    def _seen(self, run: Run, step: int) -> int:
        """Return the number of images seen after `step` steps; the last batch of an epoch may be short."""
        epochs, steps = divmod(step, run.steps_per_epoch)
        return epochs * self.images + steps * self.batch_size


def run(job: Job, turns: Turns) -> None:
    """Train on `extra["images"]` images, which are those of the job repeated."""
    startup.start(seed=0)
    import keras

    from trainer.data.pipeline import TrainingRows
    from trainer.trainer import Trainer

    before, data = peak_bytes(), repeated(job, job.extra["images"])
    pipeline = TrainingRows(data, job.batch_size, 0, "none")
    gate = Gate(turns, job.steps, len(data), job.batch_size)
    trainer = Trainer(registered(job), optimizer=keras.optimizers.Adam(LEARNING_RATE), plugins=[gate])
    turns.ready(shuffle=_shuffle_seconds(pipeline), data_bytes=data.images.nbytes, import_bytes=before)
    del data
    trainer.fit(pipeline, epochs=1_000_000)


def repeated(job: Job, count: int) -> ImageSet:
    """Return `count` images, filled in place so that the peak memory is theirs alone."""
    images, labels = job.train()
    many = np.empty((count, *images.shape[1:]), np.uint8)
    classes = np.empty(count, np.int32)
    for start in range(0, count, len(labels)):
        part = slice(start, min(start + len(labels), count))
        many[part], classes[part] = images[: part.stop - start], labels[: part.stop - start]
    return ImageSet(many, classes)


def _shuffle_seconds(pipeline: Any) -> float:
    """Return the time to compute an epoch's order, which happens once per epoch, so turns may or may not include it."""
    import tensorflow as tf

    order = tf.function(pipeline.order, input_signature=[tf.TensorSpec([], tf.int64)])
    order(tf.constant(0, tf.int64))
    times = []
    for epoch in range(1, 4):
        started = time.perf_counter()
        order(tf.constant(epoch, tf.int64))
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def peak_bytes() -> int:
    """Return the peak resident memory of this process.

    On Linux, `getrusage` inherits the value of the parent process, so it is read elsewhere.
    """
    status = Path("/proc/self/status")
    if status.exists():
        peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(peak.split()[1]) * 1024
    import resource  # which Windows lacks

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
