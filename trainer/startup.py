"""Starts TensorFlow and Keras: settings that must come before the import, and a terminal free of their chatter."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from typing import BinaryIO

from trainer.errors import InkwellError, UsageError

SETTINGS = {
    "KERAS_BACKEND": "tensorflow",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    # Off by default on CPUs without AVX-512, where it more than halves the time of a LeNet step.
    "TF_ENABLE_ONEDNN_OPTS": "1",
}
"""Environment variables that are set unless the user did."""

EXTRAS = ("matplotlib", "pandas", "sklearn")
"""What Keras imports at once if it is there, for galleries, data frames and wrappers that training does not need."""

CHATTER = re.compile(
    rb"^(?:WARNING: All log messages before absl::InitializeLog|[IWE]\d{4} \d\d:\d\d:"
    rb"|fully_quantize: |INFO: Created TensorFlow Lite )"
)


def configure() -> None:
    """Set the environment for TensorFlow and Keras, before either is imported.

    Raises:
        UsageError: If Keras was loaded or is configured with another backend.
    """
    loaded = sys.modules.get("keras")
    backend = loaded.config.backend() if loaded else os.environ.get("KERAS_BACKEND", "tensorflow")
    if backend != "tensorflow":
        raise UsageError(f"Keras runs on {backend}, Inkwell needs TensorFlow; set KERAS_BACKEND=tensorflow")
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)


def start(seed: int, deterministic: bool = False, dtype: str = "float32") -> None:
    """Import TensorFlow and Keras and set what holds for the process: seeds, determinism, dtype policy.

    Keras is imported without its extras (`EXTRAS`); a program that wants `keras.wrappers`,
    `keras.visualization` or data frames in Keras imports Keras before.

    Args:
        seed: Seed of initial weights and dropout, from 0 to 2³² - 1.
        deterministic: Use deterministic operations only.
        dtype: Keras dtype policy.

    Raises:
        UsageError: If Keras was loaded or is configured with another backend.
        InkwellError: If there is no folder for temporary files, which TensorFlow asks for when it is imported.
    """
    configure()
    check_temporary_folder()
    with without_chatter(), without(EXTRAS):
        import keras
        import tensorflow as tf

        tf.config.list_logical_devices()  # the first look at the devices is what talks about missing GPUs
    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy(dtype)
    if deterministic:
        tf.config.experimental.enable_op_determinism()


def check_temporary_folder() -> None:
    """Refuse to start where nothing temporary can be written.

    Raises:
        InkwellError: If there is no folder for it.
    """
    try:
        tempfile.gettempdir()
    except OSError as error:
        tried = "TMPDIR, /tmp, /var/tmp and the current folder" if os.name == "posix" else "TMPDIR, TEMP and TMP"
        raise InkwellError(
            f"cannot start TensorFlow: there is no folder for temporary files (tried: {tried}); "
            "set TMPDIR to a folder that can be written to and has room"
        ) from error


def clock_is_allowed() -> bool:
    """Return whether TensorFlow may read a clock inside a function: under op determinism it refuses to."""
    import tensorflow as tf

    try:
        tf.timestamp()
    except tf.errors.OpError:
        return False
    return True


def environment() -> dict[str, object]:
    """Return what decides how fast TensorFlow is here: oneDNN (on, off, or what it chose itself), threads, cores.

    A number of threads of 0 is TensorFlow's own choice, one for each core.
    """
    import tensorflow as tf

    setting, threads = os.environ.get("TF_ENABLE_ONEDNN_OPTS"), tf.config.threading
    return {
        "onednn": {"1": "on", "0": "off"}.get(setting or "", "default"),
        "inter_op_threads": threads.get_inter_op_parallelism_threads(),
        "intra_op_threads": threads.get_intra_op_parallelism_threads(),
        "cores": os.cpu_count(),
    }


@contextmanager
def without(packages: tuple[str, ...]) -> Iterator[None]:
    """Have packages that are not imported yet seem not to be installed meanwhile, to this thread alone."""
    thread = threading.get_ident()

    class Refuse(MetaPathFinder):
        def find_spec(self, name: str, path: object = None, target: object = None) -> None:
            if name in packages and threading.get_ident() == thread:
                raise ModuleNotFoundError(f"{name} is left out", name=name)

    refuse = Refuse()
    sys.meta_path.insert(0, refuse)
    try:
        yield
    finally:
        sys.meta_path.remove(refuse)


def _place_aside() -> BinaryIO:
    """Return an open file in memory where the system has such (Linux), else in the temporary folder."""
    if sys.platform == "linux":
        return os.fdopen(os.memfd_create("stderr"), "w+b")
    return tempfile.TemporaryFile()


@contextmanager
def without_chatter() -> Iterator[None]:
    """Hold back what C++ code writes to stderr meanwhile, and pass on all but the log lines known to mean nothing.

    TensorFlow logs before it reads its own log level, so that no setting silences it.
    """
    try:
        kept, place = os.dup(2), _place_aside()
    except OSError:  # stderr is closed, and nothing will be seen anyway; or there is no place for what is held back
        yield
        return
    sys.stderr.flush()
    with place as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            held.seek(0)
            for line in held:
                if not CHATTER.match(line):
                    os.write(2, line)
