"""Optimizers and schedules by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trainer.config import OptimizerConfig
from trainer.errors import UsageError, unknown

if TYPE_CHECKING:
    import keras

CLASSES = {
    "adam": "Adam",
    "adamw": "AdamW",
    "nadam": "Nadam",
    "adamax": "Adamax",
    "adagrad": "Adagrad",
    "adadelta": "Adadelta",
    "rmsprop": "RMSprop",
    "sgd": "SGD",
    "lion": "Lion",
    "lamb": "Lamb",
    "muon": "Muon",
}
"""Optimizer names and their Keras classes; a table, so that a wrong name is told without importing Keras."""

WARM_UP = 0.05
"""Share of the steps in which the cosine schedule rises linearly to the peak."""


def check_optimizer(name: str) -> None:
    """Refuse an unknown optimizer name.

    Raises:
        UsageError: With the nearest name.
    """
    if name not in CLASSES:
        raise unknown("optimizer", name, CLASSES)


def build_optimizer(config: OptimizerConfig, steps: int) -> keras.optimizers.Optimizer:
    """Return the optimizer for a run of `steps` steps.

    Raises:
        UsageError: If the name is unknown or an argument does not fit.
    """
    import keras

    check_optimizer(config.name)
    try:
        return getattr(keras.optimizers, CLASSES[config.name])(schedule(config, steps), **config.args)
    except (TypeError, ValueError) as error:
        raise UsageError(f"optimizer {config.name!r}: {str(error).splitlines()[0]}") from error


def schedule(config: OptimizerConfig, steps: int) -> Any:
    """Return the learning rate: a number if constant, else a Keras schedule over `steps` steps."""
    import keras

    if config.schedule == "constant":
        return config.learning_rate
    warm_up = max(1, round(WARM_UP * steps))
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=config.learning_rate / 100,
        warmup_target=config.learning_rate,
        warmup_steps=warm_up,
        decay_steps=max(1, steps - warm_up),
    )
