"""Makes what a configuration names: imports its modules, builds its model."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from trainer import startup
from trainer.config.schema import Config
from trainer.errors import UsageError
from trainer.registry import models
from trainer.text import first_line

if TYPE_CHECKING:
    import keras


def import_user_module(module: str) -> None:
    """Import a module that registers things, also from the working directory.

    Raises:
        UsageError: If it cannot be imported.
    """
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)  # a script has its own folder there instead; last, so that nothing installed is hidden
    try:
        with startup.without_chatter():
            import_module(module)
    except UsageError:
        raise
    except Exception as error:  # a user's module may raise anything
        raise UsageError(f"--import {module}: {type(error).__name__}: {first_line(error)}") from error


def build_model(config: Config, input_shape: tuple[int, int, int], num_classes: int) -> keras.Model:
    """Build the model that a configuration names; TensorFlow must have been started.

    Raises:
        UsageError: If the builder refuses its arguments.
    """
    return models.build(config.model.name, input_shape, num_classes, **config.model.args)
