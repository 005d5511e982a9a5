"""The variables that belong to a task, found among its attributes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import keras
import tensorflow as tf

from trainer.errors import UsageError
from trainer.text import in_line


def own_variables(task: Any) -> list[keras.Variable]:
    """Return the variables among an object's attributes, each once, in the order in which they were assigned.

    Those of layers, models, metrics, optimizers and seed generators are among them, also in lists, tuples and
    dictionaries. A layer or model that is frozen (`trainable = False`), such as a teacher, is not the task's own.

    Raises:
        UsageError: If an attribute is a `tf.Variable`, which neither Keras nor a checkpoint would track.
    """
    found = {id(variable): variable for name, value in vars(task).items() for variable in _within(value, name, task)}
    return list(found.values())


def _within(value: Any, name: str, task: Any) -> Iterator[keras.Variable]:
    """Yield the variables in the attribute `name` of a task."""
    if isinstance(value, keras.Variable):
        yield value
    elif isinstance(value, keras.random.SeedGenerator):
        yield value.state
    elif isinstance(value, keras.Layer):
        if value.trainable:
            yield from value.variables
    elif isinstance(value, keras.metrics.Metric | keras.optimizers.Optimizer):
        yield from value.variables
    elif isinstance(value, tf.Variable | tf.random.Generator):
        better = "keras.Variable" if isinstance(value, tf.Variable) else "keras.random.SeedGenerator"
        raise UsageError(
            f"cannot use the task {type(task).__name__}: no checkpoint would keep its attribute {in_line(name)}, a "
            f"{type(value).__name__} of TensorFlow; use {better}"
        )
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _within(part, name, task)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _within(part, name, task)
