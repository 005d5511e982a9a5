"""What Keras keeps to itself and Inkwell reads all the same: private attributes, in this file and in no other.

Keras may rename them in any release, so `pyproject.toml` bounds its version, and `tests/kernels/test_keras_private.py`
names each of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras


def learning_rate_of(optimizer: keras.optimizers.Optimizer) -> Any:
    """Return an optimizer's learning rate as it was given: a schedule, or the variable of a plain number.

    The public property calls the schedule and returns a number.
    """
    return optimizer._learning_rate


def adam_moments(optimizer: keras.optimizers.Adam, variable: keras.Variable) -> tuple[keras.Variable, keras.Variable]:
    """Return the first and the second moment that a built Adam or AdamW keeps for a variable."""
    index = optimizer._get_variable_index(variable)
    return optimizer._momentums[index], optimizer._velocities[index]


@contextmanager
def without_all_reduce(optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
    """Have an optimizer take the gradients that it is given for those of the whole batch, wherever it is traced.

    It would sum them over replicas, which changes nothing where there is one, and TensorFlow keeps the graph around
    each such sum until the process ends.
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    object.__setattr__(optimizer, "_all_reduce_sum_gradients", list)  # past Keras, which would track what is set
    try:
        yield
    finally:
        object.__delattr__(optimizer, "_all_reduce_sum_gradients")


def all_layers(model: keras.Model) -> Sequence[keras.layers.Layer]:
    """Return the layers of a model and of the models and layers in it, each once."""
    return list(model._flatten_layers(include_self=False, recursive=True))


def is_called_twice(layer: keras.layers.Layer) -> bool:
    """Return whether a layer of a functional model is called more than once.

    `layer.input` and `layer.output` tell of the first call only.
    """
    return len(layer._inbound_nodes) > 1
