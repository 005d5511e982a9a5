"""Keras's global settings: a `keras.json` that cannot be read, and defaults that a user has changed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

EPSILON = 1e-7
"""Default small number that Keras adds to denominators."""


@contextmanager
def keras_defaults() -> Iterator[None]:
    """Restore Keras's own defaults for the duration, whatever the user's `keras.json` or program has set.

    These are float32, channels last and an epsilon of 1e-7. A dtype policy chosen by the user, such as
    `mixed_float16`, is kept; one that merely follows from `floatx` is not.
    """
    import keras

    config = keras.config
    before = config.dtype_policy(), config.floatx(), config.epsilon(), config.image_data_format()
    chosen = before[0].name != before[1]
    set_keras(before[0] if chosen else "float32")
    try:
        yield
    finally:
        set_keras(*before)


def set_keras(
    dtype_policy: Any, floatx: str = "float32", epsilon: float = EPSILON, order: str = "channels_last"
) -> None:
    """Set Keras's global settings; `order` is that of the axes of images."""
    from keras import config

    config.set_floatx(floatx)
    config.set_epsilon(epsilon)
    config.set_image_data_format(order)
    config.set_dtype_policy(dtype_policy)


def ignore_unreadable_settings() -> None:
    """Have Keras, before its import, ignore a `keras.json` with which it cannot be imported."""
    if not _can_be_read(_keras_home() / "keras.json"):
        os.environ["KERAS_HOME"] = os.devnull  # where Keras finds no file, and can create none


def _keras_home() -> Path:
    """Return the folder of Keras's own settings, as Keras chooses it."""
    home = os.path.expanduser("~")  # noqa: PTH111, which raises where there is no home
    return Path(os.environ.get("KERAS_HOME") or Path(home if os.access(home, os.W_OK) else "/tmp") / ".keras")


def _can_be_read(settings: Path) -> bool:
    """Return True if Keras can be imported with a `keras.json`, whatever values it holds (see `keras_defaults`)."""
    try:
        found = json.loads(settings.expanduser().read_bytes()) if os.path.exists(settings) else {}  # noqa: PTH110
    except ValueError:  # not JSON: Keras ignores it
        return True
    except (OSError, RuntimeError):
        return False
    return (
        isinstance(found, dict)
        and found.get("floatx", "float32") in ("float16", "float32", "float64")
        and found.get("image_data_format", "channels_last") in ("channels_last", "channels_first")
        and isinstance(found.get("epsilon", EPSILON), float)
    )
