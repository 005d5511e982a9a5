"""Supervised learning by the names of Keras's losses and metrics, for models of any structure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from trainer.data.balance import imbalance
from trainer.data.batch import Arrange, Batch, Tree, described
from trainer.errors import UsageError
from trainer.registry import tasks
from trainer.tasks.class_weights import spread, weighed, weights_of
from trainer.tasks.heads import head_activations
from trainer.tasks.metrics import Measure
from trainer.tasks.numbers import numbers_of
from trainer.tasks.objective import Objective
from trainer.tasks.outputs import (
    as_list,
    by_output,
    for_each,
    names_of,
    of_output,
    outputs_of,
    say_which,
    spec_of,
    with_others,
)
from trainer.tasks.task import Task
from trainer.tasks.whole import SCORES
from trainer.text import first_line

if TYPE_CHECKING:
    import keras
    import numpy as np

OF_WHOLE_BATCH = {"dice", "tversky", "circle"}
"""Keras losses that combine the rows of a batch, which therefore cannot be computed in parts."""


@tasks.register("supervised")
class Supervised(Task):
    """Learn labels by a Keras loss: classes, numbers, several labels, pixels, one output or many.

    For a model with several outputs, all arguments are dicts with the names of outputs as keys; a single loss is that
    of every output. An output without a loss is not trained.

    Args:
        loss: Name of a Keras loss, such as `huber`; from Python also a `keras.losses.Loss`, or a function of labels and
            outputs that returns a loss per row.
        metrics: Names of Keras metrics, such as `mae`, and of those that need a whole set at once: `average_precision`,
            `balanced_accuracy`, `macro_f1`, `matthews` and `roc_auc`; from Python also Keras metrics, functions of
            labels and outputs, and `Overall`.
        loss_weights: Weight of each output's loss in the sum; default: 1.
        class_weight: Weight of each class in the training loss, by number or name, or `balanced`; default: all count
            the same.
        from_logits: True if outputs are logits, False if they are probabilities. Default: decided by the activation
            with which the model ends.

    Raises:
        ValueError: If there is no loss.
    """

    separable = True
    settled = False
    unknown_head: ClassVar[bool | None] = None
    """The meaning of outputs whose activation is unknown: True for logits; None to ask."""

    def __init__(
        self,
        loss: Any,
        metrics: Any = (),
        loss_weights: Any = None,
        class_weight: Any = None,
        from_logits: Any = None,
    ) -> None:
        if not loss:
            raise ValueError("loss must be the name of a loss, such as huber")
        self.loss, self.wanted, self.loss_weights = loss, metrics, loss_weights
        self.class_weight, self.from_logits = class_weight, from_logits
        if not _is_mean_over_rows(loss):
            self.separable = False
        self.names = ("loss", *(name for name in as_list(metrics) if isinstance(name, str) and name not in SCORES))
        self.measures: list[Measure] = []
        self._objectives: list[Objective] = []
        self._outputs: Sequence[str] = ()
        self._class_weights: dict[str, np.ndarray] = {}

    # Before step 0

    def arrange(self, model: keras.Model, spec: Any) -> Arrange:
        """Return the function that matches inputs, labels and weights with the model by name.

        If the model has several outputs, labels and weights become a dict with the names of those that have a loss.
        """
        from trainer.tasks.arranging import arrangement

        return arrangement(model, spec, self._trained)

    def prepare(self, model: keras.Model, spec: Any) -> None:
        """Build losses and metrics for a model and its data.

        Raises:
            UsageError: If a name is unknown, or losses, labels and outputs do not belong together.
        """
        _check_labelled(spec)
        outputs = outputs_of(model, spec[0])
        self._outputs, self._objectives = names_of(model, outputs), self.objectives(model, spec[1], outputs)
        self._set_measures([])

    def _set_measures(self, counted: Sequence[str]) -> None:
        """Build the metrics and their names; `counted` are those that unbalanced classes need."""
        self.measures = self._measures(self._objectives, counted)
        self.monitor = f"val_{counted[0]}" if counted else "val_loss"
        self.names = ("loss", *_logged(self.metrics()))
        self.evaluated = tuple(_logged(self.evaluation_metrics()))
        self.settled = True

    def balance(self, labels: Any, class_names: Sequence[str]) -> None:
        """Weigh classes, and choose the best weights by a score that does not follow the majority where one prevails.

        Raises:
            UsageError: If a class is unknown, or rows have no class.
        """
        if counted := [*self._unbalanced(labels)]:
            self._set_measures(counted)
        given = for_each(self.class_weight, [objective.name for objective in self._objectives], "class_weight", True)
        for objective in self._objectives:
            if (wanted := given[objective.name]) is not None:
                self._class_weights[objective.name] = weights_of(objective, wanted, labels, class_names)

    def check(self, model: keras.Model, spec: Any, labels: Any) -> None:
        """Check that data match the model.

        Raises:
            UsageError: If shapes differ, or a label is not a class of the model.
        """
        import numpy as np

        _check_labelled(spec)
        for objective in self.objectives(model, spec[1], outputs_of(model, spec[0])):
            if labels is not None:
                self._check_labels(objective, np.asarray(of_output(labels, objective.name)))

    def _check_labels(self, objective: Objective, labels: np.ndarray) -> None:
        """Check the labels of one output; errors are those of `check`."""
        objective.check_labels(labels)

    def objectives(self, model: keras.Model, labels: Tree, outputs: Tree) -> list[Objective]:
        """Return what each output with a loss learns, in the order in which losses are added.

        Args:
            model: The model.
            labels: Its labels, tensors or specs.
            outputs: Its outputs, tensors or specs.

        Raises:
            UsageError: If losses, labels and outputs do not belong together.
        """
        names = names_of(model, outputs)
        if isinstance(outputs, dict):
            self._check_no_order(names)
        losses, logits = self._losses(names), for_each(self.from_logits, names, "from_logits")
        ends, specs = dict(zip(names, head_activations(model), strict=False)), by_output(outputs, names)
        made = []
        for name in self._trained(names):
            end = ends.get(name, "")
            given = self.unknown_head if logits[name] is None and not end else logits[name]
            own = spec_of(of_output(labels, name)), spec_of(specs[name])
            made.append(Objective.of(name, losses[name], *own, end, given, of_several=len(names) > 1))
        return made

    def _check_no_order(self, names: Sequence[str]) -> None:
        """Refuse lists of what belongs to the outputs of a dict, which has no order.

        Raises:
            UsageError: If there is one.
        """
        given = {"loss": self.loss, "loss_weights": self.loss_weights, "from_logits": self.from_logits}
        for what, value in given.items():
            if isinstance(value, list | tuple):
                raise UsageError(f"cannot use {what}={value!r}: {say_which(what, names)}")

    def _losses(self, names: Sequence[str]) -> dict[str, Any]:
        """Return the loss of each output, None where there is none; a single one is that of all."""
        single = not isinstance(self.loss, dict | list | tuple) or "class_name" in self.loss
        return dict.fromkeys(names, self.loss) if single else for_each(self.loss, names, "loss")

    def _trained(self, names: Sequence[str]) -> list[str]:
        """Return the names of the outputs with a loss."""
        losses = self._losses(names)
        return [name for name in names if losses[name] is not None]

    def _measures(self, objectives: Sequence[Objective], counted: Sequence[str]) -> list[Measure]:
        """Return the metrics of the outputs, with the names of those that unbalanced classes need."""
        wanted = for_each(self.wanted or None, [objective.name for objective in objectives], "metrics")
        if len(objectives) == 1:  # a list is one of metrics, not of outputs
            own = wanted[objectives[0].name]
            return [Measure(each, objectives[0]) for each in with_others(as_list(own), counted)]
        return [
            Measure(each, objective, f"{objective.name}_")
            for objective in objectives
            for each in as_list(wanted[objective.name])
        ]

    @property
    def classes(self) -> int | None:
        """Number of classes, once the task is prepared; None if the model does not give each row one class."""
        only = self._objectives[0] if len(self._objectives) == 1 else None
        return only.classes if only is not None and len(only.outputs.shape) <= 2 else None

    def _unbalanced(self, labels: Any) -> Iterator[str]:
        """Yield the name of the score that does not follow the majority, if classes are known to be unbalanced."""
        known = labels is not None and self.classes is not None
        if known and imbalance(self._objectives[0].numbers(labels), self.classes or 0):
            yield "balanced_accuracy"

    # The step

    def forward(self, model: keras.Model, batch: Batch, training: bool, seed: Any) -> tuple[Any, Any]:
        """Return the weighted sum of the losses, and the model's outputs."""
        outputs = model(batch[0], training=training)
        names = names_of(model, outputs)
        found, factors = by_output(outputs, names), for_each(self.loss_weights, names, "loss_weights")
        losses = []
        for objective in self.objectives(model, batch[1], outputs):
            weights = self._row_weights(objective, batch, training)
            loss = self._loss(objective, of_output(batch[1], objective.name), found[objective.name], weights, training)
            factor = factors[objective.name]
            losses.append(loss if factor is None else loss * factor)
        return sum(losses[1:], losses[0]), outputs

    def _loss(self, objective: Objective, labels: Any, outputs: Any, weights: Any, training: bool) -> Any:
        """Return the loss of one output.

        Raises:
            UsageError: If it cannot be computed; that of a user may raise anything.
        """
        try:
            return objective.loss(labels, outputs, weights)
        except Exception as error:
            raise UsageError(
                f"cannot compute the loss {objective.loss.name!r} from labels {described(objective.labels)} and "
                f"outputs {described(objective.outputs)}: {type(error).__name__}: {first_line(error)}"
            ) from error

    def _row_weights(self, objective: Objective, batch: Batch, training: bool) -> Any:
        """Return the weight of each row, or of each pixel; None if all count the same."""
        given = of_output(batch[2], objective.name) if len(batch) > 2 else None
        if given is not None:
            given = spread(given, len(objective.outputs.shape) - 1)
        by_class = self._class_weights.get(objective.name) if training else None
        if by_class is None:
            return given
        return weighed(by_class, objective.class_numbers(of_output(batch[1], objective.name)), given)

    # Metrics

    @property
    def _several(self) -> list[Objective]:
        """The outputs with a loss, if there are several, whose losses are logged."""
        return self._objectives if len(self._objectives) > 1 else []

    def metrics(self) -> Mapping[str, keras.metrics.Metric]:
        """Return the loss of each output, if there are several, and the metrics that are means over batches."""
        import keras

        names = [f"{objective.name}_loss" for objective in self._several]
        losses = {name: keras.metrics.Mean(name=name) for name in names}
        return losses | {measure.name: measure.new() for measure in self.measures if measure.overall is None}

    def evaluation_metrics(self) -> Mapping[str, keras.metrics.Metric]:
        """Return the metrics that need a whole validation or test set."""
        return {measure.name: measure.new() for measure in self.measures if measure.overall is not None}

    def update(self, metrics: Mapping[str, keras.metrics.Metric], batch: Batch, outputs: Any) -> None:
        """Add a batch to the metrics; losses of single outputs are without the weights of classes."""
        import tensorflow as tf

        found = by_output(outputs, self._outputs)
        for objective in self._several:
            name, labels = objective.name, of_output(batch[1], objective.name)
            loss = objective.loss(labels, found[name], of_output(batch[2], name) if len(batch) > 2 else None)
            metrics[f"{name}_loss"].update_state(loss, sample_weight=tf.shape(labels)[0])
        for measure in self.measures:
            if measure.name in metrics:
                name = measure.objective.name
                measure.update(metrics[measure.name], of_output(batch[1], name), found[name])


def _check_labelled(spec: Any) -> None:
    """Check that batches have labels, and that these are numbers.

    Raises:
        UsageError: If they have none, or they are texts.
    """
    if not isinstance(spec, tuple) or len(spec) < 2:
        raise UsageError(f"cannot learn: batches must be (x, y) or (x, y, sample_weight), these are {described(spec)}")
    import optree

    if any(leaf.dtype == "string" for leaf in optree.tree_leaves(spec[1])):
        raise UsageError("cannot learn: labels are texts; number them: names, y = np.unique(y, return_inverse=True)")


def _logged(metrics: Mapping[str, keras.metrics.Metric]) -> list[str]:
    """Return the names under which metrics are logged."""
    return [each for name, metric in metrics.items() for each in numbers_of(name, metric.result())]


def _is_mean_over_rows(loss: Any) -> bool:
    """Return True if all losses are known to be means over rows: those by name that do not combine rows."""
    parts = list(loss.values()) if isinstance(loss, dict) else as_list(loss)
    return all(part is None or (isinstance(part, str) and part.lower() not in OF_WHOLE_BATCH) for part in parts)
