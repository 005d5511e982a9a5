"""The variables that a traced function changes, all of which a checkpoint must have."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import tensorflow as tf

from trainer.errors import UsageError
from trainer.tasks.task import Task
from trainer.text import in_line

READ_ONLY = "_read_only_resource_inputs"
"""Attribute in which TensorFlow lists the resources that a call or a loop in a graph only reads, as input numbers."""


def check_tracked(traced: Any, tracked: Iterable[Any], task: Task) -> None:
    """Check that a traced span changes no variable that checkpoints leave out: a resumed run would be another one.

    Args:
        traced: The concrete function.
        tracked: The Keras variables that checkpoints have.
        task: The task, for the message.

    Raises:
        UsageError: If it does; the message names the first such variable.
    """
    known = {id(variable.value.handle) for variable in tracked}
    for variable in changed_variables(traced):
        if id(variable.handle) not in known:
            name = variable.name.removeprefix("while/").partition(":")[0]
            raise UsageError(
                f"cannot train: a step changes the variable {in_line(name)!r}, which neither the model nor an "
                f"attribute of the task {type(task).__name__} holds, so no checkpoint would have it; {_cure(name)}"
            )


def _cure(name: str) -> str:
    if "seed_generator_state" in name:
        return (
            "draw random numbers with tf.random.stateless_normal and the like from the seed of the step, or with a "
            "keras.random.SeedGenerator in an attribute; call frozen layers with training=False"
        )
    return "make it an attribute in __init__ or prepare; call frozen layers with training=False"


def changed_variables(traced: Any) -> Sequence[tf.Variable]:
    """Return the variables that the calls and loops in a concrete function may change."""
    changed = set()
    for operation in traced.graph.get_operations():
        if READ_ONLY in operation.node_def.attr:
            only_read = set(operation.get_attr(READ_ONLY))
            changed |= {tensor.name for number, tensor in enumerate(operation.inputs) if number not in only_read}
    handles = {id(outer) for outer, inner in traced.graph.captures if inner.name in changed}
    return [variable for variable in traced.variables if id(variable.handle) in handles]
