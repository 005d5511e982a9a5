"""Weights of classes, so that rare ones count as much as frequent ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from trainer.errors import UsageError, did_you_mean

ClassWeight = Literal["balanced"] | Mapping[int | str, float]
"""Weight of the rows of each class, by its number or name; a class that is not named weighs 1."""


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
