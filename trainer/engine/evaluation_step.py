"""The compiled evaluation of a batch, traced once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import keras
import tensorflow as tf

from trainer.data.batch import Batch
from trainer.data.pipeline import EvaluationPipeline
from trainer.data.streams.reading import DataEnded, reading
from trainer.engine.forward import EVALUATION_SEED, build, checked, with_regularisers
from trainer.engine.meter import Meter
from trainer.kernels.strategy import Strategy
from trainer.tasks.task import Task
from trainer.text import count


class EvaluationStep:
    """Evaluation of one batch per call; evaluation batches are large, so calls cost next to nothing.

    Args:
        model: A built model, or several by name.
        task: Computes the loss and the metrics.
        strategy: The strategy that places variables.
    """

    def __init__(self, model: keras.Model | Mapping[str, keras.Model], task: Task, strategy: Strategy) -> None:
        self.model, self.task, self.strategy = model, task, strategy
        with strategy.scope():
            self.meter = Meter(task, evaluation=True)
        # The argument is the iterator, not the batch: its spec leaves the number of rows open, so a short last batch
        # needs no second trace.
        self.next = tf.function(self._next, autograph=False)

    def begin(self, data: EvaluationPipeline) -> Iterator[Any]:
        """Return the batches of an evaluation for `next`, reset the meter, and compile `next` if necessary.

        If `next` were traced on its first call instead, TensorFlow would warn of repeated retracing as soon as a
        process has trained several models.
        """
        build(self.task, self.model, self.meter, data.spec)
        self.meter.reset()
        batches = iter(data.batches())
        self.next.get_concrete_function(batches)
        return batches

    def over(self, data: EvaluationPipeline) -> Iterator[tuple[Batch, Any]]:
        """Begin an evaluation and yield each batch with the model's outputs, to the end of the data.

        Raises:
            DataError: If the data cannot be read, or end before the number of batches that they declare.
        """
        batches, done = self.begin(data), 0
        while data.steps is None or done < data.steps:
            try:
                with reading(f"cannot evaluate after {count(done, 'batch', 'batches')}"):
                    result = self.next(batches)
            except DataEnded:
                if data.steps is None and done:
                    return
                raise
            done += 1
            yield result

    def _next(self, batches: Any) -> tuple[Batch, Any]:
        """Evaluate the next batch and add it to the meter; return the batch and the model's outputs."""
        batch = batches.get_next()
        with tf.control_dependencies(tf.nest.flatten(batch, expand_composites=True)):  # nothing happens after the last
            loss, outputs = self.strategy.replicated(self._outputs)(batch)
            self.meter.update(batch, loss, outputs)
        return batch, outputs

    def _outputs(self, batch: Batch) -> tuple[tf.Tensor, Any]:
        loss, outputs = checked(self.task.forward(self.model, batch, False, EVALUATION_SEED), self.task, "forward")
        self.task.scalars.clear()  # those of training alone are logged
        return (loss if isinstance(self.model, Mapping) else with_regularisers(loss, self.model)), outputs
