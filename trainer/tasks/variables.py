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
    found: dict[int, keras.Variable] = {}
    for name, value in _attributes(task):
        if isinstance(value, tf.Variable | tf.random.Generator):
            better = "keras.Variable" if isinstance(value, tf.Variable) else "keras.random.SeedGenerator"
            raise UsageError(
                f"cannot use the task {type(task).__name__}: no checkpoint would keep its attribute {in_line(name)}, a "
                f"{type(value).__name__} of TensorFlow; use {better}"
            )
        found |= {id(variable): variable for variable in _of(value)}
    return list(found.values())


def has_unbuilt_layers(task: Any) -> bool:
    """Return True if an attribute of a task is a layer without variables yet, since nothing has called it."""
    return any(isinstance(value, keras.Layer) and not value.built for _, value in _attributes(task))


def _of(value: Any) -> list[keras.Variable]:
    """Return the variables that a part of a task brings into it."""
    if isinstance(value, keras.Variable):
        return [value]
    if isinstance(value, keras.random.SeedGenerator):
        return [value.state]
    if isinstance(value, keras.Layer):
        return list(value.variables) if value.trainable else []
    return list(value.variables) if isinstance(value, keras.metrics.Metric | keras.optimizers.Optimizer) else []


def _attributes(task: Any) -> Iterator[tuple[str, Any]]:
    """Yield the names and values of attributes; the parts of a list, tuple or dictionary have the name of the whole."""
    for name, value in vars(task).items():
        for part in _parts(value):
            yield name, part


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping | list | tuple):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _parts(part)
    else:
        yield value
