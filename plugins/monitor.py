"""What it means that a number improved, or that weights are lost; shared by plugins that watch one or the other."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

Mode = Literal["auto", "min", "max"]
GROWING = ("accuracy", "auc", "f1", "precision", "recall")


class Best:
    """The best value so far of a number that should fall or rise.

    Args:
        monitor: The number's name; in mode `auto` an accuracy, AUC, F1, precision or recall should rise, others fall.
        mode: `min`, `max` or `auto`.
        min_delta: By how much a value must be better to count, at least 0.

    Raises:
        ValueError: If `mode` is unknown or `min_delta` negative.
    """

    def __init__(self, monitor: str, mode: Mode = "auto", min_delta: float = 0.0) -> None:
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"mode must be auto, min or max: {mode!r}")
        if min_delta < 0:
            raise ValueError(f"min_delta must be at least 0: {min_delta}")
        rising = mode == "max" or (mode == "auto" and any(word in monitor for word in GROWING))
        self.sign = 1 if rising else -1
        self.min_delta = min_delta
        self.value = -self.sign * math.inf

    def improved(self, value: float) -> bool:
        """Return whether `value` is the best so far, and keep it if so; NaN never is."""
        if not self.sign * (value - self.value) > self.min_delta:
            return False
        self.value = value
        return True

    def state(self) -> float | None:
        """Return the best value, or None before the first."""
        return self.value if math.isfinite(self.value) else None

    def restore(self, state: float | None) -> None:
        """Take back what `state` returned."""
        self.value = -self.sign * math.inf if state is None else state

    def reached(self, value: float, threshold: float) -> bool:
        """Return whether `value` is at least as good as `threshold`."""
        return self.sign * (value - threshold) >= 0


def all_finite(model: Any) -> bool:
    """Return whether no weight of a Keras model is NaN or infinite.

    Their loss may not tell: a ReLU makes 0 of what is not a number.
    """
    return all(bool(np.isfinite(np.asarray(weight)).all()) for weight in model.weights)
