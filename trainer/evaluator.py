"""Evaluation of a model without training: scores, predictions and temperature."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainer.config.build import build_on
from trainer.data.batch import Arrange, Tree
from trainer.data.columns import scaled, scaled_spec
from trainer.data.given.labelled import evaluation_data
from trainer.data.given.unlabelled import fitted, inputs_of
from trainer.data.imageset import ImageSet
from trainer.data.pipeline import EvaluationPipeline, EvaluationRows
from trainer.data.structure import Signature
from trainer.display.model import model_line
from trainer.display.shown import Shown
from trainer.engine.compiled import settings_of
from trainer.engine.evaluation_step import EvaluationStep
from trainer.engine.first_batch.looks import first_batch, look_at_inputs
from trainer.engine.first_batch.shape import check_shapes
from trainer.engine.forward import build
from trainer.engine.preflight import check_evaluation
from trainer.errors import UsageError
from trainer.evaluation.predictions import Predictions
from trainer.kernels.strategy import Strategy
from trainer.result import Scores
from trainer.run import first_of, named
from trainer.stage import Stage
from trainer.startup import keras_defaults
from trainer.tasks.task import Task


class Evaluator(Shown):
    """Evaluates and applies one Keras model.

    Args:
        model: A Keras model of any structure; one that is not built yet is built from the first data. For the default
            task, from images, float32 `[N, H, W, C]` in [0, 1], to logits `[N, K]`. Or several by name, all of which
            the task evaluates, and of which the first predicts.
        task: The task that was learned; default: that of a compiled model, otherwise classification.
        strategy: The strategy that places variables.
    """

    @keras_defaults()
    def __init__(
        self,
        model: keras.Model | Mapping[str, keras.Model],
        task: Task | None = None,
        strategy: Strategy | None = None,
    ) -> None:
        self.given, self.model = model, first_of(model)
        self.task, self.strategy = task or settings_of(self.model, None, None).task, strategy or Strategy()
        self.step: EvaluationStep
        if self.task.settled:  # otherwise the first data tell what is measured
            self.step = EvaluationStep(model, self.task, self.strategy)
        self._forward = tf.function(lambda inputs: self.model(inputs, training=False), autograph=False)
        self._looked_at: set[str] = set()

    def _line(self) -> str:
        return f"{model_line(self.given)}; {self.task!r}"

    def fitting(self, spec: Any) -> Arrange:
        """Build the model for batches of a structure, if it is not built yet; return how the task arranges them.

        Args:
            spec: Structure of a batch, as in `Task.arrange`.

        Raises:
            UsageError: If the model cannot be built from it, or the structures differ.
        """
        if not isinstance(self.given, Mapping):  # of several models, the task alone knows what each is called on
            build_on(self.model, spec[0])
        return self.task.arrange(self.given, spec)

    def renew(self) -> None:
        """Make the step anew, unless the names that the prepared task logs are still those of the present one."""
        if not hasattr(self, "step") or list(self.step.meter.read()) != [*self.task.names, *self.task.evaluated]:
            self.step = EvaluationStep(self.given, self.task, self.strategy)

    def settle(self, data: EvaluationPipeline) -> None:
        """Make the step if it waited for the first data, and create the variables of the task's layers."""
        if not hasattr(self, "step"):
            self.task.prepare(self.given, data.spec)
            self.renew()
        build(self.task, self.given, self.step.meter, data.spec)

    def pipeline(self, x: Any, y: Any = None, sample_weight: Any = None) -> EvaluationPipeline:
        """Return the batches of data, arranged for the task; arguments and errors are those of `evaluate`."""
        check_evaluation(self.task)
        data = evaluation_data(x, y, sample_weight, fitting=self.fitting, images=takes_images(self.given))
        check_shapes(self.given, data.spec, "evaluate")
        if (batch := first_batch(data)) is not None:
            look_at_inputs(batch, self.given, "evaluate")
        self.task.check(self.given, data.spec, data.labels)
        return data

    @keras_defaults()
    def evaluate(self, x: Any, y: Any = None, sample_weight: Any = None, *, temperature: float | None = None) -> Scores:
        """Return the task's numbers on the data, in which every row counts once.

        For classification these are the numbers of `trainer.evaluation.classification_report`, and with a temperature
        also `calibrated_ece` and `calibrated_nll`.

        Args:
            x: An array or a tree of arrays that matches the model's inputs by name, `Rows` such as an `ImageSet`,
                batches as in `Trainer.fit`, or a tuple `(x, y)` or `(x, y, sample_weight)`.
            y: Labels, if `x` are arrays, a tree that matches the model's outputs by name; for classification integers
                `[N]`.
            sample_weight: Weights of the rows in the loss, if `x` are arrays.
            temperature: Divisor of the logits for calibrated probabilities, as in `result.json`.

        Raises:
            UsageError: If the data are none of these, or do not match the model.
            DataError: If their values are from 0 to 255 where the model takes 0 to 1, or the reverse.
        """
        return self.assess(self.pipeline(x, y, sample_weight), temperature)[0]

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
        finite = all(np.isfinite(leaf).all() for leaf in tf.nest.flatten(outputs))
        return self.task.temperature(outputs, labels) if finite else None

    @keras_defaults()
    def predict(self, x: Any, batch_size: int = 500) -> Tree:
        """Return the model's outputs in its own structure, by default logits, float32 `[N, K]`.

        Args:
            x: N inputs, N at least 1: an array or a tree of arrays that matches the model's inputs by name, `Rows`, or
                batches as in `Trainer.fit`, whose labels are left out. Uint8 means 0 to 255 and is scaled to 0 to 1;
                images `[N, H, W]` or `[N, H, W, C]` in floats are from 0 to 1.
            batch_size: Rows per call of the model; a dataset has batches of its own.

        Raises:
            UsageError: If the inputs are none of these, do not match the model, or there are none.
            DataError: If their values are from 0 to 255 where the model takes 0 to 1, or the reverse.
        """
        inputs = inputs_of(x, batch_size)
        (spec,) = scaled_spec((inputs.spec,))
        build_on(self.model, spec)
        signature = Signature.of(self.model)
        pick = fitted(inputs, signature.inputs) if signature is not None else lambda tree: tree
        check_shapes(self.model, (pick(spec),), "predict")
        forward = self._forward.get_concrete_function(_open(pick(spec)))
        outputs = []
        for batch in inputs.batches():
            tensors = tf.nest.map_structure(_tensor, pick(batch))
            if (kind := str(inputs.spec)) not in self._looked_at:  # once, since people predict one by one too
                look_at_inputs((tf.nest.map_structure(np.asarray, tensors),), self.model, "predict")
                self._looked_at.add(kind)
            outputs.append(forward(tensors))
        if not outputs:
            raise UsageError("cannot predict: there are no inputs; pass at least one")
        return _joined(outputs)

    def _outputs(self, pipeline: EvaluationPipeline, what: str) -> tuple[Tree, Tree]:
        """Evaluate all batches; return the model's outputs and the labels, empty if the task does not need them.

        Args:
            pipeline: The batches.
            what: The purpose, shown as the stage in progress.
        """
        self.settle(pipeline)
        outputs, labels = [], []
        images = len(pipeline.rows) if isinstance(pipeline, EvaluationRows) else 0
        steps = pipeline.steps or 0  # 0 if unknown
        total, unit = (images, "images") if images else (steps, "batches")
        with Stage(what, total, unit) as progress:
            for step, (batch, output) in enumerate(self.step.over(pipeline), 1):
                if self.task.reports:
                    outputs.append(output)
                    labels.append(batch[1])
                progress.done = total * step // steps if steps else step
        return (_joined(outputs), self.task.truth(_joined(labels))) if outputs else (np.empty(0), np.empty(0))


def takes_images(model: keras.Model | Mapping[str, keras.Model]) -> bool:
    """Return True if the only input of a model, or of one of several, has the rank of images, or is unknown."""
    signatures = map(Signature.of, named(model).values())
    return any(found is None or (found.inputs.single and found.inputs.tree.shape.rank == 4) for found in signatures)


def _tensor(leaf: Any) -> tf.Tensor:
    """Return an input as the model takes it."""
    return scaled(tf.convert_to_tensor(leaf))


def _open(spec: Tree) -> Tree:
    """Return a structure of inputs whose batches may have any length."""
    return tf.nest.map_structure(lambda leaf: tf.TensorSpec([None, *leaf.shape[1:]], leaf.dtype), spec)


def _joined(batches: list[Tree]) -> Tree:
    """Return batches as one."""
    return tf.nest.map_structure(lambda *parts: np.concatenate([np.asarray(part) for part in parts]), *batches)
