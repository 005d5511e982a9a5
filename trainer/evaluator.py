"""`Evaluator`: a model and its task on data: scores, predictions, temperature. It changes no weight."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainer.data.given import as_inputs, evaluation_data
from trainer.data.pipeline import EvaluationArray, EvaluationPipeline
from trainer.engine.step import EvaluationStep
from trainer.errors import UsageError
from trainer.evaluation.predictions import Predictions
from trainer.kernels.strategy import Strategy
from trainer.result import Scores
from trainer.stage import Stage
from trainer.startup import keras_defaults
from trainer.tasks.classification import Classification
from trainer.tasks.task import Task


class Evaluator:
    """Evaluates and applies one Keras model.

    Args:
        model: A built functional model: images float32 `[N, H, W, C]` in [0, 1] to, by default, logits `[N, K]`.
        task: What was learned; default: classification.
        strategy: Where variables live.
    """

    @keras_defaults()
    def __init__(self, model: keras.Model, task: Task | None = None, strategy: Strategy | None = None) -> None:
        self.model, self.task = model, task or Classification()
        self.step = EvaluationStep(model, self.task, strategy or Strategy())
        images = tf.TensorSpec([None, *model.input_shape[1:]], tf.float32)
        self._forward = tf.function(
            lambda images: model(images, training=False), input_signature=[images], autograph=False
        )

    @keras_defaults()
    def evaluate(self, x: Any, y: Any = None, *, temperature: float | None = None) -> Scores:
        """Return the task's numbers over all of the data, every image counted once.

        For classification they are those of `trainer.evaluation.classification_report`, and `calibrated_ece` and
        `calibrated_nll` if the temperature is given.

        Args:
            x: Images in an array, an `ImageSet`, a batched `tf.data.Dataset`, or a pair `(x, y)`.
            y: Labels of images in an array, whole numbers `[N]`.
            temperature: What logits are divided by for calibrated probabilities, as `result.json` has it.

        Raises:
            UsageError: If the data are none of these.
        """
        return self.assess(evaluation_data(x, y), temperature)[0]

    @keras_defaults()
    def assess(self, data: EvaluationPipeline, temperature: float | None = None) -> tuple[Scores, Predictions | None]:
        """Return what `evaluate` returns, and the outputs it comes from if the task reports about them."""
        outputs, labels = self._outputs(data, "testing")
        numbers = self.step.meter.read()
        if not self.task.reports:
            return Scores(numbers), None
        images = data.data.images if isinstance(data, EvaluationArray) else None
        report = self.task.report(outputs, labels, temperature)
        return Scores(numbers | report), Predictions(outputs, labels, images, temperature)

    @keras_defaults()
    def temperature(self, x: Any, y: Any = None) -> float | None:
        """Return what logits are to be divided by for calibrated probabilities; None if the task has no such thing.

        Args:
            x: Validation data, as in `evaluate`.
            y: Labels of images in an array.
        """
        if not self.task.reports:
            return None
        outputs, labels = self._outputs(evaluation_data(x, y), "calibrating")
        return self.task.temperature(outputs, labels) if np.isfinite(outputs).all() else None

    @keras_defaults()
    def predict(self, x: Any, batch_size: int = 500) -> np.ndarray:
        """Return the model's outputs, by default logits, float32 `[N, K]`.

        Args:
            x: N inputs, N at least 1; images `[N, H, W]` or `[N, H, W, C]`: uint8 from 0 to 255, or floats from 0 to 1.
            batch_size: Images per call of the model.

        Raises:
            UsageError: If they are neither, or there are none.
        """
        inputs = as_inputs(x, rank=len(self.model.input_shape))
        if not len(inputs):
            raise UsageError("cannot predict: there is no input")
        starts = range(0, len(inputs), batch_size)
        return np.concatenate([np.asarray(self._forward(_floats(inputs[i : i + batch_size]))) for i in starts])

    def _outputs(self, pipeline: EvaluationPipeline, what: str) -> tuple[np.ndarray, np.ndarray]:
        """Evaluate all batches; return the model's outputs and the labels, empty if the task does not want them.

        Args:
            pipeline: The batches.
            what: What this is for, to be shown meanwhile.
        """
        outputs, labels = [], []
        images = len(pipeline.data) if isinstance(pipeline, EvaluationArray) else 0
        total, unit = (images, "images") if images else (pipeline.steps, "batches")
        with Stage(what, total, unit) as progress:
            batches = self.step.begin(pipeline)
            for step in range(1, pipeline.steps + 1):
                batch, output = self.step.next(batches)
                if self.task.reports:
                    outputs.append(np.asarray(output))
                    labels.append(np.asarray(batch[-1]))
                progress.done = total * step // pipeline.steps
        return (np.concatenate(outputs), np.concatenate(labels)) if outputs else (np.empty(0), np.empty(0))


def _floats(images: np.ndarray) -> np.ndarray:
    """Return images as float32 from 0 to 1."""
    return images.astype(np.float32) / 255 if images.dtype == np.uint8 else images
