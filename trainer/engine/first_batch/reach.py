"""The values that reach the first layers with weights: what a model's own preprocessing makes of its inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from trainer.kernels.keras_private import all_layers, calls


class Reached(NamedTuple):
    """The values that a layer with weights receives from one input, before any other layer with weights.

    Attributes:
        number: Number of the input, 0-based, in the order of `model.inputs`.
        layer: The layer.
        values: What it receives, `[N, …]`.
        path: Names of the layers and operations in between.
    """

    number: int
    layer: keras.layers.Layer
    values: np.ndarray
    path: tuple[str, ...]


class _Route(NamedTuple):
    """The way from an input to a symbolic tensor."""

    number: int
    path: tuple[str, ...]


def reached(model: keras.Model, inputs: Sequence[np.ndarray]) -> list[Reached]:
    """Return what reaches the first layers with weights; nested models are entered.

    Args:
        model: Any model; of a subclassed one, whose graph is unknown, nothing is returned.
        inputs: Its inputs, in the order of `model.inputs`.
    """
    graph = _graph(model)
    if graph is None:
        return []
    routes = {id(tensor): _Route(number, ()) for number, tensor in enumerate(graph.inputs)}
    ends: list[tuple[Any, Any]] = []
    for operation, before, after in calls(graph):
        known = [routes[id(tensor)] for tensor in before if id(tensor) in routes]
        if _has_weights(operation):
            ends += [(operation, tensor) for tensor in before if id(tensor) in routes]
        elif before and len(known) == len(before) and len({route.number for route in known}) == 1:
            passed = _Route(known[0].number, (*known[0].path, operation.name))
            routes |= {id(tensor): passed for tensor in after}
    values = _computed(graph, [tensor for _, tensor in ends], inputs)
    return [
        each
        for (operation, tensor), value in zip(ends, values, strict=True)
        for each in _entered(operation, value, routes[id(tensor)])
    ]


def _entered(operation: Any, values: np.ndarray, route: _Route) -> list[Reached]:
    """Return what reaches a layer with weights, or those inside a nested model."""
    if not isinstance(operation, keras.Model):
        return [Reached(route.number, operation, values, route.path)]
    if len(getattr(operation, "inputs", None) or ()) != 1:  # a subclassed model has none
        return []
    return [each._replace(number=route.number, path=route.path + each.path) for each in reached(operation, [values])]


def _graph(model: keras.Model) -> Any:
    """Return a functional model with the graph of a functional or sequential one; None without a graph."""
    if isinstance(model, keras.Sequential):
        return keras.Model(model.inputs, model.outputs, name=model.name) if model.built and model.inputs else None
    return model if hasattr(model, "operations") else None  # as functional models have


def _has_weights(operation: Any) -> bool:
    """Return True if an operation has learned weights, frozen ones included; those of a `Normalization` are not."""
    if isinstance(operation, keras.Model):
        return any(map(_has_weights, all_layers(operation)))
    return bool(getattr(operation, "weights", ())) and not isinstance(operation, keras.layers.Normalization)


def _computed(graph: keras.Model, tensors: Sequence[Any], inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return the values of symbolic tensors of a graph; inputs are not computed."""
    known = {id(tensor): value for tensor, value in zip(graph.inputs, inputs, strict=True)}
    if wanted := {id(tensor): tensor for tensor in tensors if id(tensor) not in known}:
        # Names are given, since the numbers in those that Keras makes up should not depend on a look.
        part = keras.Model(graph.inputs, list(wanted.values()), name="reached")
        values = keras.tree.flatten(part(list(inputs), training=False))
        known |= dict(zip(wanted, map(np.asarray, values), strict=True))
    return [known[id(tensor)] for tensor in tensors]
