"""Metrics by Keras's names, each built for the output of the model that it is used for."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from trainer.errors import UsageError, unknown
from trainer.plugin import snake_case
from trainer.tasks.losses import ALIASES, function_name, plain, same_rank
from trainer.tasks.objective import Objective
from trainer.tasks.overall import Overall, by_name, collecting
from trainer.tasks.whole import SCORES
from trainer.text import first_line

if TYPE_CHECKING:
    import keras
    import numpy as np

ACCURACY = ("accuracy", "acc")
"""Keras's names for the accuracy that suits labels and outputs."""


@dataclass(frozen=True)
class Measure:
    """A metric of one output.

    Metrics by name are given what they understand: probabilities where the output is logits, one-hot labels where
    labels are class numbers. Metrics from Python are given labels and outputs as they are, as in Keras.

    Attributes:
        identifier: Name, configuration, Keras metric, function of labels and outputs, or an `Overall`.
        objective: What the output learns.
        prefix: Name of the output and an underscore; empty where the model has one output.
    """

    identifier: Any
    objective: Objective
    prefix: str = ""

    @cached_property
    def overall(self) -> Overall | None:
        """The metric, if it needs a whole set at once."""
        given = self.identifier
        return given if isinstance(given, Overall) else by_name(given) if isinstance(given, str) else None

    @cached_property
    def name(self) -> str:
        """The name of the metric, with that of the output; a vector adds to it."""
        if isinstance(self.identifier, str):
            return self.prefix + self.identifier
        return self.prefix + (self.overall or self._make()).name

    def new(self) -> keras.metrics.Metric:
        """Return a new Keras metric, which has seen labels and outputs of the right shapes.

        Raises:
            UsageError: If the metric is unknown, or cannot be computed from them.
        """
        if self.overall is not None:
            return collecting(self.overall)
        metric = self._make()
        if self.identifier in ACCURACY:
            return metric
        objective = self.objective
        try:  # builds the metrics that only now learn how many classes there are
            self.update(metric, *(_zeros(spec) for spec in (objective.labels, objective.outputs)))
            metric.result()
            metric.reset_state()
        except Exception as error:  # a user's metric may raise anything
            raise UsageError(
                f"cannot compute the metric {self.name!r} of output {objective.name!r} from labels "
                f"{_shape(objective.labels)} and outputs {_shape(objective.outputs)}: {first_line(error)}"
            ) from error
        return metric

    def update(self, metric: keras.metrics.Metric, labels: Any, outputs: Any) -> None:
        """Add a batch to one of this measure's metrics."""
        objective = self.objective
        if self.overall is not None:
            labels, outputs = objective.flat(labels, outputs)
        elif isinstance(self.identifier, str) and self.identifier not in ACCURACY:
            labels, outputs = self._understood(metric, labels, outputs)
        elif isinstance(self.identifier, str) and objective.predicts == "labels":
            outputs = objective.probabilities(outputs)
        metric.update_state(labels, outputs)

    def _understood(self, metric: keras.metrics.Metric, labels: Any, outputs: Any) -> tuple[Any, Any]:
        """Return labels and outputs in the form that a Keras metric expects."""
        import keras

        takes = inspect.signature(type(metric)).parameters
        if "from_logits" not in takes:
            outputs = self.objective.probabilities(outputs)
        if self.objective.sparse and not metric.name.startswith("sparse") and "sparse_y_true" not in takes:
            labels = keras.ops.one_hot(self.objective.class_numbers(labels), self.objective.outputs.shape[-1])
        return labels, outputs

    def _make(self) -> keras.metrics.Metric:
        """Return a new Keras metric.

        Raises:
            UsageError: If there is none of this name, or a metric cannot be copied.
        """
        import keras

        given = self.identifier
        if isinstance(given, str):
            return self._accuracy() if given in ACCURACY else self._named(given)
        if isinstance(given, dict):
            return keras.metrics.get(given)
        if isinstance(given, keras.metrics.Metric):
            try:  # training and evaluation each have their own
                return type(given).from_config(given.get_config())
            except Exception as error:  # the configuration of a user's class may be incomplete
                raise UsageError(
                    f"cannot copy the metric {given.name!r}: {first_line(error)}; give its class get_config and "
                    "from_config, or pass a function of labels and outputs"
                ) from error
        if callable(given):
            return keras.metrics.MeanMetricWrapper(_aligned(given), name=function_name(given, "metric"))
        raise UsageError(
            f"cannot use {given!r} as a metric; give the name of a metric, a keras.metrics.Metric or a function"
        )

    def _accuracy(self) -> keras.metrics.Metric:
        """Return the accuracy that suits labels and outputs."""
        import keras

        objective, name = self.objective, self.identifier
        if objective.outputs.shape[-1] == 1 or objective.predicts == "labels":
            return keras.metrics.BinaryAccuracy(name=name)
        if objective.sparse or len(objective.labels.shape) < len(objective.outputs.shape):
            return keras.metrics.SparseCategoricalAccuracy(name=name)
        return keras.metrics.CategoricalAccuracy(name=name)

    def _named(self, name: str) -> keras.metrics.Metric:
        found = _classes().get(plain(ALIASES.get(name.lower(), name)))
        if found is None:
            named = [snake_case(kind.__name__) for kind in _classes().values()]
            raise unknown("metric", name, sorted({*ACCURACY, *named, *ALIASES, *SCORES}))
        known = {
            "num_classes": self.objective.classes,
            "sparse_y_true": self.objective.sparse,
            "sparse_y_pred": False,
            "from_logits": self.objective.built.from_logits,
        }
        takes = inspect.signature(found).parameters
        arguments = {key: value for key, value in known.items() if key in takes and value is not None}
        try:
            return found(name=name, **arguments)
        except TypeError as error:
            raise UsageError(
                f"cannot make the metric {name!r} by its name: {first_line(error)}; give it as a table, such as "
                f'{{class_name="{found.__name__}", config={{…}}}}, or from Python as an object'
            ) from error


def _classes() -> dict[str, type[keras.metrics.Metric]]:
    """Return Keras's metrics by their plain names."""
    import keras

    abstract = ("Metric", "MeanMetricWrapper", "Mean", "Sum")
    return {plain(n): kind for n, kind in vars(keras.metrics).items() if inspect.isclass(kind) and n not in abstract}


def _aligned(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda labels, outputs: function(*same_rank(labels, outputs))


def _zeros(spec: Any) -> np.ndarray:
    import numpy as np

    return np.zeros([side or 1 for side in spec.shape], spec.dtype.as_numpy_dtype)


def _shape(spec: Any) -> str:
    from trainer.data.batch import described

    return described(spec)
