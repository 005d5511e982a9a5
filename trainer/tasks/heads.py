"""The activation with which each output of a model ends: its loss must know whether outputs are logits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

UNKNOWN = ""
"""The activation of an output whose origin cannot be read, such as that of a subclassed model."""

PASSING = ("Dropout", "Flatten", "Identity", "Permute", "Reshape", "Squeeze", "Transpose")
"""Classes of operations that leave values as they are."""

ACTIVATIONS = ("LogSoftmax", "ReLU", "Relu", "Relu6", "Sigmoid", "Softmax", "Softplus", "Tanh")
"""Classes of operations that are nothing but an activation."""


def head_activations(model: keras.Model) -> list[str]:
    """Return the Keras name of the activation of each output, in the order of `model.outputs`.

    Layers that leave values as they are (dropout, reshaping, a cast to float32) are skipped, and nested models are
    entered.

    Args:
        model: Any model. A subclassed model, whose graph is unknown, has one entry.

    Returns:
        Names such as `linear`, `softmax`, `sigmoid` or `relu`; `UNKNOWN` if the origin of an output cannot be read.
    """
    import keras

    if isinstance(model, keras.Sequential):
        return [_last_of(model.layers)]
    if not hasattr(model, "operations"):  # as functional models have
        return [UNKNOWN]
    named = {operation.name: operation for operation in model.operations}
    return [_activation(model, named.get(name)) for name in model.output_names]


def _last_of(layers: list[Any]) -> str:
    """Return the activation at the end of a chain of layers."""
    for layer in reversed(layers):
        name = _own(layer)
        if name != "linear" or not _passes(layer):
            return name
    return "linear"


def _activation(model: Any, origin: Any) -> str:
    """Return the activation with which the result of an operation of a functional model ends."""
    import keras

    while origin is not None:
        name = _own(origin)
        inputs = keras.tree.flatten(origin.input)
        if name != "linear" or not _passes(origin) or len(inputs) != 1:
            return name
        origin = _origin(model, inputs[0])
    return UNKNOWN


def _origin(model: Any, tensor: Any) -> Any:
    """Return the operation that made a tensor, or None if that is not certain."""
    import keras

    for operation in model.operations:
        if any(each is tensor for each in keras.tree.flatten(operation.output)):
            return operation
    nested = [each for each in model.operations if hasattr(each, "operations")]  # their `output` is that inside
    return nested[0] if len(nested) == 1 else None


def _own(operation: Any) -> str:
    """Return the activation of an operation, `linear` if it has none."""
    import keras

    if isinstance(operation, keras.Model):
        return next(iter(head_activations(operation)), UNKNOWN)
    if (kind := type(operation).__name__) in ACTIVATIONS:
        return kind.lower().replace("logsoftmax", "log_softmax")
    activation = getattr(operation, "activation", None)
    if activation is not None:
        return getattr(activation, "__name__", UNKNOWN)
    ours = type(operation).__module__.startswith("keras.") and not isinstance(operation, keras.layers.Lambda)
    return "linear" if ours else UNKNOWN  # a layer of the user may end in anything


def _passes(operation: Any) -> bool:
    """Return True if an operation leaves values as they are; an activation layer without effect is a cast."""
    return type(operation).__name__ in (*PASSING, "Activation", "InputLayer")
