"""Losses by Keras's names, each built for the output of the model that it is used for."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from trainer.errors import UsageError, unknown
from trainer.plugin import snake_case

if TYPE_CHECKING:
    import keras

Predicts = Literal["classes", "labels", "values"]
"""The meaning of an output: one of K classes, independent labels that are 0 or 1 each, or anything else."""

PREDICTS: dict[str, Predicts] = {
    "sparse_categorical_crossentropy": "classes",
    "categorical_crossentropy": "classes",
    "categorical_focal_crossentropy": "classes",
    "binary_crossentropy": "labels",
    "binary_focal_crossentropy": "labels",
}
"""The losses that take logits or probabilities, and what they predict; all others are `values`."""

PROBABILITIES = {"softmax", "sigmoid"}
"""Activations whose results are probabilities."""

ALIASES = {"bce": "binary_crossentropy", "kld": "kl_divergence", "mae": "mean_absolute_error"} | {
    "mse": "mean_squared_error",
    "mape": "mean_absolute_percentage_error",
    "msle": "mean_squared_logarithmic_error",
}
"""Keras's short names."""


class Built(NamedTuple):
    """A loss that is ready to be used.

    Attributes:
        loss: Called with labels, outputs and weights.
        name: Name of a Keras loss in lower case; empty for any other.
        from_logits: True if it takes logits, from which softmax or sigmoid makes probabilities.
    """

    loss: keras.losses.Loss
    name: str
    from_logits: bool

    @property
    def predicts(self) -> Predicts:
        """The meaning of the output."""
        return PREDICTS.get(self.name, "values")


def build_loss(identifier: Any, output: str, activation: str, from_logits: bool | None, **arguments: Any) -> Built:
    """Return a loss for one output of a model.

    Args:
        identifier: What Keras takes: the name of a loss, its configuration, a loss, or a function of labels and outputs
            that returns a loss per row.
        output: Name of the output, for messages.
        activation: Activation with which the output ends, see `trainer.tasks.heads`.
        from_logits: True if the output is logits, False if it is probabilities; None decides by the activation. For
            losses by name only: any other has decided for itself.
        **arguments: Other arguments of a loss by name.

    Raises:
        UsageError: If the name is unknown, or the loss and the output contradict each other.
    """
    import keras

    own = keras.losses.get(identifier) if isinstance(identifier, dict) else identifier
    if isinstance(own, str):
        name = _canonical(own)
        kind = _classes()[name]
        if name in PREDICTS:
            arguments["from_logits"] = _takes_logits(name, output, activation, from_logits)
        elif from_logits is not None:
            raise UsageError(f"cannot give from_logits to the loss {own!r}, which knows no logits; remove it")
        return Built(kind(**arguments), name, arguments.get("from_logits", False))
    if from_logits is not None:
        raise UsageError(f"cannot give from_logits to {_named(own)}; give it to the loss itself")
    if not isinstance(own, keras.losses.Loss):
        if not callable(own):
            raise UsageError(
                f"cannot use {own!r} as a loss; give the name of a Keras loss, a keras.losses.Loss or a function"
            )
        return Built(_of_function(own), "", False)
    name = snake_case(type(own).__name__)
    logits = bool(own.get_config().get("from_logits", False)) if name in PREDICTS else False
    if name in PREDICTS:
        _check_head(_named(own), output, activation, logits)
    return Built(own, name, logits)


def _takes_logits(name: str, output: str, activation: str, given: bool | None) -> bool:
    """Return True if a loss by name is to take the output as logits.

    Raises:
        UsageError: If this cannot be told, or what is given contradicts the model.
    """
    if given is None and not activation:
        raise UsageError(
            f"cannot tell if output {output!r} is logits or probabilities, which the loss {name!r} must know; "
            "pass from_logits=True or from_logits=False"
        )
    logits = activation not in PROBABILITIES if given is None else given
    _check_head(f"loss {name!r}", output, activation, logits)
    return logits


def _check_head(loss: str, output: str, activation: str, logits: bool) -> None:
    """Check that a loss and the activation before it belong together.

    Raises:
        UsageError: If they do not.
    """
    if logits and activation in PROBABILITIES:
        raise UsageError(
            f"cannot train output {output!r}: it ends in {activation}, but the {loss} is told from_logits=True; "
            "leave from_logits out or remove the activation"
        )
    if activation in ("relu", "relu6"):
        raise UsageError(
            f"cannot train output {output!r}: it ends in {activation}, but the {loss} needs logits or probabilities; "
            "remove the activation"
        )
    if not logits and activation == "linear":
        raise UsageError(
            f"cannot train output {output!r}: it ends without softmax or sigmoid, but the {loss} takes probabilities; "
            "pass from_logits=True, or add the activation"
        )


def _canonical(name: str) -> str:
    """Return the lower-case name of a Keras loss.

    Raises:
        UsageError: If there is none of this name.
    """
    wanted = plain(ALIASES.get(name.lower(), name))
    found = next((known for known in _classes() if plain(known) == wanted), None)
    if found is None:
        raise unknown("loss", name, sorted(["crossentropy", *_classes(), *ALIASES]))
    return found


def plain(name: str) -> str:
    """Return a name in the form in which `MeanIoU`, `mean_iou` and Keras's `mean_io_u` are the same."""
    return name.lower().replace("_", "")


def _classes() -> dict[str, Callable[..., keras.losses.Loss]]:
    """Return Keras's losses by their names in lower case."""
    import keras

    public = vars(keras.losses).items()
    return {snake_case(name): kind for name, kind in public if inspect.isclass(kind) and name != "Loss"}


def _of_function(function: Callable[..., Any]) -> keras.losses.Loss:
    """Return the loss that a function of labels and outputs computes for each row, averaged over the batch."""
    import keras

    class Function(keras.losses.Loss):
        def call(self, y_true: Any, y_pred: Any) -> Any:
            return function(*same_rank(y_true, y_pred))

    return Function(name=function_name(function, "loss"))


def function_name(function: Callable[..., Any], otherwise: str) -> str:
    """Return the name of a function, or another one if it has none that can be part of a graph, as a lambda."""
    name = getattr(function, "__name__", "")
    return name if name.isidentifier() else otherwise


def same_rank(labels: Any, outputs: Any) -> tuple[Any, Any]:
    """Return labels and outputs of the same rank, as Keras's own losses do, where one lacks an axis of length 1."""
    import keras

    ranks = len(labels.shape), len(outputs.shape)
    if abs(ranks[0] - ranks[1]) != 1:
        return labels, outputs
    shorter, longer = (labels, outputs) if ranks[0] < ranks[1] else (outputs, labels)
    if longer.shape[-1] != 1:
        return labels, outputs
    if min(ranks) == 1:
        shorter = keras.ops.expand_dims(shorter, -1)
    else:
        longer = keras.ops.squeeze(longer, -1)
    return (shorter, longer) if ranks[0] < ranks[1] else (longer, shorter)


def _named(loss: Any) -> str:
    return f"loss {getattr(loss, 'name', None) or getattr(loss, '__name__', repr(loss))!r}"
