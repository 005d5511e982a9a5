"""Optimizers and schedules by name."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from trainer.config.schema import OptimizerConfig
from trainer.errors import UsageError, did_you_mean, unknown
from trainer.text import first_line

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
"""Keras classes by optimizer name, so that a wrong name is reported without importing Keras."""

RESERVED = ("learning_rate", "name", "kwargs")
"""Arguments that cannot be set: the learning rate has its own key, and the class determines the name."""


def check_optimizer(name: str) -> None:
    """Check the name of an optimizer.

    Raises:
        UsageError: If it is unknown; the message suggests the nearest name.
    """
    if name not in CLASSES:
        raise unknown("optimizer", name, CLASSES)


def build_optimizer(config: OptimizerConfig, steps: int) -> keras.optimizers.Optimizer:
    """Return the optimizer for a run of `steps` steps.

    Raises:
        UsageError: If the name is unknown, or an argument is unknown or invalid.
    """
    import keras

    check_optimizer(config.name)
    cls = getattr(keras.optimizers, CLASSES[config.name])
    _check_arguments(config, [name for name in inspect.signature(cls).parameters if name not in RESERVED])
    try:
        return cls(schedule(config, config.schedule_steps or steps), **config.args)
    except (TypeError, ValueError) as error:
        raise UsageError(f"optimizer {config.name!r}: {first_line(error)}") from error


def _check_arguments(config: OptimizerConfig, known: list[str]) -> None:
    """Refuse arguments that would make Keras fail later, since its optimizers do not check types."""
    for name, value in config.args.items():
        if name not in known:
            near = did_you_mean(name, known) or ";"
            raise UsageError(f"optimizer {config.name!r} has no argument {name!r}{near} it takes {', '.join(known)}")
        if isinstance(value, str):
            raise UsageError(f"optimizer {config.name!r}: {name}={value!r}: must be a number, true or false")


def schedule(config: OptimizerConfig, steps: int) -> Any:
    """Return the learning rate: a number if constant, otherwise a Keras schedule over `steps` steps."""
    import keras

    if config.schedule == "constant":
        return config.learning_rate
    warm_up = max(1, round(config.warm_up * steps))
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=config.learning_rate / 100,
        warmup_target=config.learning_rate,
        warmup_steps=warm_up,
        decay_steps=max(1, steps - warm_up),
    )
