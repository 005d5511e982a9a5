"""Keras's `Model.fit`, as users write it and tuned."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ..nets import CHECKED, EPSILON, LEARNING_RATE, keras_net
from ..worker import Job, Turns

if TYPE_CHECKING:
    import keras

ENDLESS = 1_000_000
EXECUTIONS = (1, 32, 128)
"""Candidates for `steps_per_execution`."""


def as_written(job: Job, turns: Turns) -> None:
    """Fit NumPy arrays in memory, with all settings at their defaults."""
    images, labels = job.train()
    scaled = images.astype("float32") / 255
    checked = CHECKED * job.batch_size

    def fit_in_order(model: keras.Model, callbacks: list[Any]) -> None:
        model.fit(scaled[:checked], labels[:checked], job.batch_size, shuffle=False, callbacks=callbacks)

    losses, model = first_losses(job, fit_in_order), compiled(job)
    turns.ready(params=model.count_params(), losses=losses)
    model.fit(scaled, labels, job.batch_size, epochs=ENDLESS, callbacks=[gate(turns)])


def tuned(job: Job, turns: Turns) -> None:
    """Fit a `tf.data` pipeline over bytes in memory, with the fastest `steps_per_execution`."""
    import tensorflow as tf

    def pipeline(count: int, shuffled: bool) -> Any:
        images, labels = (array[:count] for array in job.train())
        data = tf.data.Dataset.from_tensor_slices((images, labels)).cache()
        batches = (data.shuffle(count) if shuffled else data).batch(job.batch_size)
        return batches.map(scale, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)

    def scale(images: Any, labels: Any) -> tuple[Any, Any]:
        return tf.cast(images, tf.float32) / 255.0, labels

    def fit_in_order(model: keras.Model, callbacks: list[Any]) -> None:
        model.fit(pipeline(CHECKED * job.batch_size, shuffled=False), verbose=0, callbacks=callbacks)

    losses = first_losses(job, fit_in_order)
    data = pipeline(job.steps * job.batch_size, shuffled=True)
    tried = {n: _trial(job, data, n) for n in EXECUTIONS if n <= job.steps}
    best = min(tried, key=lambda n: tried[n])
    model = compiled(job, best)
    turns.ready(
        params=model.count_params(),
        losses=losses,
        choice=f"steps_per_execution={best}",
        tried={str(n): seconds for n, seconds in tried.items()},
    )
    model.fit(data, epochs=ENDLESS, verbose=0, callbacks=[gate(turns)])


def _trial(job: Job, data: Any, executions: int) -> float:
    """Return the seconds per step after warming up."""
    model, steps = compiled(job, executions), min(job.steps, max(EXECUTIONS))
    model.fit(data.take(steps), verbose=0)
    started = time.perf_counter()
    model.fit(data.take(steps), verbose=0)
    return (time.perf_counter() - started) / steps


def compiled(job: Job, executions: int = 1, dropout: bool = True) -> keras.Model:
    """Return the compiled network."""
    import keras

    model = keras_net(job, dropout)
    model.compile(
        optimizer=keras.optimizers.Adam(LEARNING_RATE, epsilon=EPSILON),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        steps_per_execution=executions,
    )
    return model


def gate(turns: Turns) -> Any:
    """Return a callback that ends a turn at the start of an epoch."""
    import keras

    class Gate(keras.callbacks.Callback):  # type: ignore[misc,unused-ignore]
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            turns.wait()

    return Gate()


def first_losses(job: Job, fit_in_order: Callable[[keras.Model, list[Any]], None]) -> list[float]:
    """Return the losses of the first steps, computed from the running mean that Keras reports after each."""
    import keras

    means: list[float] = []

    class Means(keras.callbacks.Callback):  # type: ignore[misc,unused-ignore]
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            means.append(logs["loss"])

    fit_in_order(compiled(job, dropout=False), [Means()])
    sums = [0.0, *(mean * n for n, mean in enumerate(means, start=1))]
    return [after - before for before, after in pairwise(sums)]
