"""Lowers the learning rate of any optimizer in mid-run, whether it is a number or a schedule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from trainer.kernels.keras_private import learning_rate_of


class Scaled(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule times a variable, which is 1 until it is lowered; times 1 is the same bits.

    Args:
        schedule: A Keras schedule, or any function of the step.
    """

    def __init__(self, schedule: Callable[[Any], Any]) -> None:
        self.schedule = schedule
        self.factor = keras.Variable(1.0, trainable=False, name="learning_rate_factor")

    def __call__(self, step: Any) -> Any:
        """Return the learning rate of the 0-based `step`."""
        return self.schedule(step) * self.factor

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {"schedule": self.schedule}


class LearningRate:
    """The learning rate of one optimizer; a schedule is replaced by one that can be lowered.

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
        """What a checkpoint must hold of it; a plain learning rate is among the optimizer's own variables."""
        return [self.scaled.factor] if self.scaled is not None else []

    def scale(self, by: float) -> None:
        """Multiply the learning rate with a number, for good."""
        variable = self.scaled.factor if self.scaled is not None else self.optimizer.learning_rate
        variable.assign(variable * by)

    def at(self, step: int) -> float:
        """Return the learning rate of the 0-based `step`, as planned now."""
        return float(self.scaled(step)) if self.scaled is not None else float(self.optimizer.learning_rate)
