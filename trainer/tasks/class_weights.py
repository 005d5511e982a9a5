"""Weights of classes, so that rare ones count as much as frequent ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from trainer.data.batch import Tree
from trainer.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    import numpy as np

    from trainer.tasks.objective import Objective

ClassWeight = Literal["balanced"] | Mapping[int | str, float]
"""Weight of the rows of each class, by its number or name; a class that is not named weighs 1."""


def weights_of(objective: Objective, given: Any, labels: Tree | None, names: Sequence[str]) -> np.ndarray:
    """Return the weight of each class of an output, float32 `[K]`.

    Args:
        objective: The output.
        given: A `ClassWeight`.
        labels: All training labels; None if the data are a stream.
        names: Names of the classes; empty if they have none.

    Raises:
        UsageError: If rows do not have one class each, or a class or its weight is unknown.
    """
    if objective.classes is None:
        raise UsageError(
            f"cannot weigh the classes of output {objective.name!r}: the loss {objective.built.name!r} does not give "
            "each row one class; use sample_weight"
        )
    numbers = objective.numbers(labels) if labels is not None else None
    return class_weights(given, objective.classes, numbers, names)


def weighed(weights: np.ndarray, numbers: Any, given: Any) -> Any:
    """Return the weights of rows or pixels, float32, from those of their classes.

    Args:
        weights: Weight of each class, float32 `[K]`.
        numbers: Class of each row or pixel, an int32 tensor `[N, …]`.
        given: Other weights, by which these are multiplied, a tensor `[N]` or `[N, …]`; None if there are none.
    """
    import tensorflow as tf

    by_class = tf.gather(tf.constant(weights), numbers)
    if given is None:
        return by_class
    return by_class * tf.cast(spread(given, len(by_class.shape)), tf.float32)


def spread(weights: Any, rank: int) -> Any:
    """Return weights of rows as those of all their pixels or time steps: with axes of length 1 up to a rank."""
    import tensorflow as tf

    missing = rank - len(weights.shape)
    return tf.reshape(weights, [*tf.unstack(tf.shape(weights)), *[1] * missing]) if missing > 0 else weights


def class_weights(given: Any, classes: int, numbers: np.ndarray | None, names: Sequence[str]) -> np.ndarray:
    """Return the weight of each class, float32 `[K]`.

    Args:
        given: A `ClassWeight`; `balanced` weights class c by n / (k n_c), as scikit-learn defines it, where n is the
            number of training rows, n_c that of rows of class c, and k the number of classes that occur.
        classes: Number of classes.
        numbers: The class of each training row, int, any shape; None if the data are a stream.
        names: Names of the classes; empty if they have none.

    Raises:
        UsageError: If a class or its weight is unknown, or the labels that `balanced` counts are.
    """
    import numpy as np

    if given == "balanced":
        if numbers is None:
            raise UsageError(
                "cannot balance classes: the labels of a stream are not known before training; give a weight for each "
                "class instead, such as class_weight={0: 0.5, 1: 2}"
            )
        counts = np.bincount(np.ravel(numbers), minlength=classes)
        present = counts > 0
        return np.where(present, counts.sum() / (present.sum() * np.maximum(counts, 1)), 1.0).astype(np.float32)
    if not isinstance(given, Mapping):
        raise UsageError(f"cannot use class_weight={given!r}; give 'balanced' or a weight for each class")
    weights = np.ones(classes, np.float32)
    for key, weight in given.items():
        if isinstance(weight, bool) or not isinstance(weight, int | float | np.number) or not 0 <= weight < np.inf:
            raise UsageError(f"cannot weigh class {key!r} by {weight!r}; give a number that is at least 0")
        weights[_number(key, classes, names)] = weight
    return weights


def _number(key: Any, classes: int, names: Sequence[str]) -> int:
    """Return the number of a class that is given by number or by name; a name goes first.

    Raises:
        UsageError: If there is no such class.
    """
    if isinstance(key, str) and key in names:
        return list(names).index(key)
    try:
        number = int(key)
    except (TypeError, ValueError):
        number = -1
    if not 0 <= number < classes:
        named = f" ({', '.join(names)})" if names else ""
        raise UsageError(
            f"cannot weigh class {key!r}: classes are 0 to {classes - 1}{named}{did_you_mean(str(key), names)}"
        )
    return number
