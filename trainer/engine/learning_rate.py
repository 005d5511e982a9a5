"""A learning rate that can be lowered in mid-run, for any optimizer, number or schedule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from trainer.kernels.keras_private import learning_rate_of
from trainer.run import LEARNING_RATE_FACTOR


class Scaled(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule multiplied by a variable that starts at 1; until it is lowered, the rate is bit-identical.

    Args:
        schedule: A Keras schedule or any function of the step.
    """

    def __init__(self, schedule: Callable[[Any], Any]) -> None:
        self.schedule = schedule
        self.factor = keras.Variable(1.0, trainable=False, name=LEARNING_RATE_FACTOR)

    def __call__(self, step: Any) -> Any:
        """Return the learning rate of the 0-based `step`."""
        return self.schedule(step) * self.factor

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"schedule": self.schedule}


class LearningRate:
    """The learning rate of one optimizer; a schedule is replaced by a `Scaled` one.

    Args:
        optimizer: A Keras optimizer.
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer) -> None:
        self.optimizer = optimizer
        own = learning_rate_of(optimizer)
        if not isinstance(own, keras.Variable | Scaled):
            own = optimizer.learning_rate = Scaled(own)
        self.scaled: Scaled | None = own if isinstance(own, Scaled) else None

    @property
    def variables(self) -> list[Any]:
        """The variables to checkpoint besides the optimizer's own, which include a plain learning rate."""
        return [self.scaled.factor] if self.scaled is not None else []

    def scale(self, by: float) -> None:
        """Multiply the learning rate permanently."""
        variable = self.scaled.factor if self.scaled is not None else self.optimizer.learning_rate
        variable.assign(variable * by)

    def at(self, step: int) -> float:
        """Return the learning rate of the 0-based `step` under the current plan."""
        return float(self.scaled(step)) if self.scaled is not None else float(self.optimizer.learning_rate)


def is_constant(optimizer: keras.optimizers.Optimizer | None) -> bool:
    """Return True if the learning rate of an optimizer is a number, not a schedule; None is the default optimizer."""
    return optimizer is not None and isinstance(learning_rate_of(optimizer), keras.Variable)
