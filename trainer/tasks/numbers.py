"""Results of metrics as numbers by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    pass


def numbers_of(name: str, result: Any) -> dict[str, float]:
    """Return the result of a metric as numbers by name.

    Args:
        name: Name of the metric.
        result: A scalar; a vector, whose numbers are called `name_0`, `name_1`, …; or a dict, whose numbers are called
            `name_key`.
    """
    import numpy as np

    if isinstance(result, Mapping):
        return {f"{name}_{key}": float(value) for key, value in result.items()}
    values = np.asarray(result)
    if values.ndim == 0:
        return {name: float(values)}
    return {f"{name}_{k}": float(value) for k, value in enumerate(values.flat)}
