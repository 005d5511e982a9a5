"""Construction of the model that a configuration names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainer.config.schema import Config
from trainer.registry import models

if TYPE_CHECKING:
    import keras


def build_model(config: Config, input_shape: tuple[int, int, int], num_classes: int) -> keras.Model:
    """Build the model that a configuration names; TensorFlow must be running.

    Raises:
        UsageError: If the model's name is unknown, or its builder refuses the arguments.
    """
    return models.build(config.model.name, input_shape, num_classes, **config.model.args)
