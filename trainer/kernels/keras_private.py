"""The only file that uses private attributes of Keras.

Keras may rename them in any release, so `pyproject.toml` bounds its version, and `tests/kernels/test_keras_private.py`
checks each of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import keras


def learning_rate_of(optimizer: keras.optimizers.Optimizer) -> Any:
    """Return an optimizer's learning rate as given: a schedule, or the variable that holds a number.

    The public property evaluates the schedule and returns a number.
    """
    return optimizer._learning_rate


def adam_moments(optimizer: keras.optimizers.Adam, variable: keras.Variable) -> tuple[keras.Variable, keras.Variable]:
    """Return the first and second moments that a built Adam or AdamW keeps for a variable."""
    index = optimizer._get_variable_index(variable)
    return optimizer._momentums[index], optimizer._velocities[index]


@contextmanager
def without_all_reduce(optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
    """Make an optimizer treat the gradients that it is given as those of the whole batch when it is traced.

    Otherwise it would sum them over replicas, which has no effect on a single replica, yet TensorFlow keeps the graph
    of each such sum in memory until the process ends.
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    object.__setattr__(optimizer, "_all_reduce_sum_gradients", list)  # bypasses Keras, which would track the attribute
    try:
        yield
    finally:
        object.__delattr__(optimizer, "_all_reduce_sum_gradients")


def all_layers(model: keras.Model) -> Sequence[keras.layers.Layer]:
    """Return all layers of a model, including those nested in other models and layers, each once."""
    return list(model._flatten_layers(include_self=False, recursive=True))


def is_called_twice(layer: keras.layers.Layer) -> bool:
    """Return True if a layer of a functional model is called more than once.

    `layer.input` and `layer.output` describe the first call only.
    """
    return len(layer._inbound_nodes) > 1


def compile_arguments(model: keras.Model) -> Mapping[str, Any]:
    """Return the arguments with which a model was compiled, as objects.

    The public `get_compile_config` serializes them, which loses the state of an optimizer and fails for a function.
    """
    return model._compile_config.config


class Call(NamedTuple):
    """A call in the graph of a functional model: a layer or operation, and the symbolic tensors in and out of it."""

    operation: Any
    inputs: Sequence[Any]
    outputs: Sequence[Any]


def calls(model: keras.Model) -> Iterator[Call]:
    """Yield the calls of a functional model in an order in which they can be computed, nested models as one call.

    `layer.input` and `layer.output` describe the first call of a layer, and a nested model's describe its inside.
    """
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            yield Call(node.operation, node.input_tensors, node.output_tensors)


def is_built(metric: keras.metrics.Metric) -> bool:
    """Return False if a metric creates its variables only when it is first updated, and that has not happened."""
    return not hasattr(metric, "_built") or bool(metric._built)
