"""Starts TensorFlow and Keras, with the settings that must precede the import."""

from __future__ import annotations

import os
import sys
import tempfile
import warnings

from trainer.errors import InkwellError, UsageError
from trainer.stage import Stage
from trainer.startup.chatter import quiet_tensorflow, without_chatter
from trainer.startup.importing import EXTRAS, collector_paused, without
from trainer.startup.keras_settings import ignore_unreadable_settings, set_keras

SETTINGS = {
    "KERAS_BACKEND": "tensorflow",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    # Off by default on CPUs without AVX-512, where it more than halves the time of a LeNet step.
    "TF_ENABLE_ONEDNN_OPTS": "1",
}
"""Environment variables, set unless the user has set them."""


def configure() -> None:
    """Set the environment for TensorFlow and Keras, before either is imported.

    Raises:
        UsageError: If Keras was loaded or is configured with another backend.
    """
    loaded = sys.modules.get("keras")
    backend = loaded.config.backend() if loaded else os.environ.get("KERAS_BACKEND")
    if backend and backend != "tensorflow":
        raise UsageError(f"Keras runs on {backend}, Inkwell needs TensorFlow; set KERAS_BACKEND=tensorflow")
    for name, value in SETTINGS.items():
        os.environ[name] = os.environ.get(name) or value
    if not loaded:
        ignore_unreadable_settings()
    quiet_tensorflow()
    warnings.filterwarnings("ignore", "IProgress not found")  # of tqdm in a notebook; we show no bars with widgets


def start(seed: int, deterministic: bool = False, dtype: str = "float32") -> None:
    """Import TensorFlow and Keras and set seeds, determinism and dtype policy for the whole process.

    Both are imported without their extras (`EXTRAS`); a program that wants `keras.wrappers`, `keras.visualization` or
    data frames in Keras imports Keras first.

    Args:
        seed: Seed of initial weights and dropout, from 0 to 2³² - 1.
        deterministic: Use deterministic operations only.
        dtype: Keras dtype policy.

    Raises:
        UsageError: If Keras is loaded or configured with another backend.
        InkwellError: If there is no folder for temporary files, which importing TensorFlow requires.
    """
    configure()
    check_temporary_folder()
    with Stage("loading TensorFlow"), without_chatter(), without(EXTRAS), collector_paused():
        import keras
        import tensorflow as tf

        tf.config.list_logical_devices()  # the first query is what logs lines about missing GPUs
    keras.utils.set_random_seed(seed)
    set_keras(dtype)
    if deterministic:
        tf.config.experimental.enable_op_determinism()


def check_temporary_folder() -> None:
    """Refuse to start if there is nowhere to write temporary files.

    Raises:
        InkwellError: If no folder for temporary files can be used.
    """
    try:
        tempfile.gettempdir()
    except OSError as error:
        tried = "TMPDIR, /tmp, /var/tmp and the current folder" if os.name == "posix" else "TMPDIR, TEMP and TMP"
        raise InkwellError(
            f"cannot start TensorFlow: there is no folder for temporary files (tried: {tried}); "
            "set TMPDIR to a writable folder with enough space"
        ) from error
