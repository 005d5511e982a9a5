"""Evaluation of a model without training: scores, predictions and temperature."""

from __future__ import annotations

from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainer.data.given import as_inputs, evaluation_data
from trainer.data.imageset import ImageSet
from trainer.data.pipeline import EvaluationPipeline, EvaluationRows
from trainer.data.structure import Signature
from trainer.display.shown import Shown
from trainer.engine.step import EvaluationStep
from trainer.errors import UsageError
from trainer.evaluation.predictions import Predictions
from trainer.kernels.strategy import Strategy
from trainer.result import Scores
from trainer.stage import Stage
from trainer.startup import keras_defaults
from trainer.tasks.classification import Classification
from trainer.tasks.task import Task
from trainer.text import count, in_line


class Evaluator(Shown):
    """Evaluates and applies one Keras model.

    Args:
        model: A built functional model from images, float32 `[N, H, W, C]` in [0, 1], to, by default, logits `[N, K]`.
        task: The task that was learned; default: classification.
        strategy: The strategy that places variables.
    """

    @keras_defaults()
    def __init__(self, model: keras.Model, task: Task | None = None, strategy: Strategy | None = None) -> None:
        self.model, self.task = model, task or Classification()
        self.step = EvaluationStep(model, self.task, strategy or Strategy())
        signature = Signature.of(model)
        self._forward = tf.function(
            lambda inputs: model(inputs, training=False),
            input_signature=[signature.inputs.tree] if signature is not None else None,
            autograph=False,
        )

    def _line(self) -> str:
        return f"{in_line(self.model.name)}, {count(self.model.count_params(), 'parameter')}; {self.task!r}"

    def pipeline(self, x: Any, y: Any = None, sample_weight: Any = None) -> EvaluationPipeline:
        """Return the batches of data, arranged for the task; arguments and errors are those of `evaluate`."""
        return evaluation_data(
            x, y, sample_weight, fitting=partial(self.task.arrange, self.model), images=takes_images(self.model)
        )

    @keras_defaults()
    def evaluate(self, x: Any, y: Any = None, *, temperature: float | None = None) -> Scores:
        """Return the task's numbers on the data, in which every image counts once.

        For classification these are the numbers of `trainer.evaluation.classification_report`, and with a temperature
        also `calibrated_ece` and `calibrated_nll`.

        Args:
            x: An array of images, an `ImageSet`, a batched `tf.data.Dataset`, or a pair `(x, y)`.
            y: Labels, integers `[N]`, if `x` is an array of images.
            temperature: Divisor of the logits for calibrated probabilities, as in `result.json`.

        Raises:
            UsageError: If the data are none of these.
        """
        return self.assess(self.pipeline(x, y), temperature)[0]

    @keras_defaults()
    def assess(self, data: EvaluationPipeline, temperature: float | None = None) -> tuple[Scores, Predictions | None]:
        """Return the numbers of `evaluate`, and the predictions behind them if the task reports on them."""
        outputs, labels = self._outputs(data, "testing")
        numbers = self.step.meter.read()
        if not self.task.reports:
            return Scores(numbers), None
        images = data.rows.images if isinstance(data, EvaluationRows) and isinstance(data.rows, ImageSet) else None
        report = self.task.report(outputs, labels, temperature)
        return Scores(numbers | report), Predictions(outputs, labels, images, temperature)

    @keras_defaults()
    def temperature(self, x: Any, y: Any = None) -> float | None:
        """Return the divisor of the logits for calibrated probabilities; None if the task has none.

        Args:
            x: Validation data, as in `evaluate`.
            y: Labels, if `x` is an array of images.
        """
        if not self.task.reports:
            return None
        outputs, labels = self._outputs(self.pipeline(x, y), "calibrating")
        return self.task.temperature(outputs, labels) if np.isfinite(outputs).all() else None

    @keras_defaults()
    def predict(self, x: Any, batch_size: int = 500) -> np.ndarray:
        """Return the model's outputs, by default logits, float32 `[N, K]`.

        Args:
            x: N inputs, N at least 1; images `[N, H, W]` or `[N, H, W, C]`: uint8 from 0 to 255, or floats from 0 to 1.
            batch_size: Images per call of the model.

        Raises:
            UsageError: If the inputs are neither, or there are none.
        """
        inputs = as_inputs(x, rank=len(self.model.input_shape))
        if not len(inputs):
            raise UsageError("cannot predict: there are no inputs; pass at least one")
        starts = range(0, len(inputs), batch_size)
        return np.concatenate([np.asarray(self._forward(_floats(inputs[i : i + batch_size]))) for i in starts])

    def _outputs(self, pipeline: EvaluationPipeline, what: str) -> tuple[np.ndarray, np.ndarray]:
        """Evaluate all batches; return the model's outputs and the labels, empty if the task does not need them.

        Args:
            pipeline: The batches.
            what: The purpose, shown as the stage in progress.
        """
        outputs, labels = [], []
        images = len(pipeline.rows) if isinstance(pipeline, EvaluationRows) else 0
        total, unit = (images, "images") if images else (pipeline.steps, "batches")
        with Stage(what, total, unit) as progress:
            batches = self.step.begin(pipeline)
            for step in range(1, pipeline.steps + 1):
                batch, output = self.step.next(batches)
                if self.task.reports:
                    outputs.append(np.asarray(output))
                    labels.append(np.asarray(batch[1]))
                progress.done = total * step // pipeline.steps
        return (np.concatenate(outputs), np.concatenate(labels)) if outputs else (np.empty(0), np.empty(0))


def takes_images(model: keras.Model) -> bool:
    """Return True if the only input of a model has the rank of images, or its inputs are unknown."""
    signature = Signature.of(model)
    return signature is None or (signature.inputs.single and signature.inputs.tree.shape.rank == 4)


def _floats(images: np.ndarray) -> np.ndarray:
    """Return images as float32 from 0 to 1."""
    return images.astype(np.float32) / 255 if images.dtype == np.uint8 else images
