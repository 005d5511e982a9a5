"""Starts TensorFlow and Keras: settings that must come before the import, and a terminal free of their chatter."""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any, BinaryIO

from trainer.errors import InkwellError, UsageError
from trainer.stage import Stage

SETTINGS = {
    "KERAS_BACKEND": "tensorflow",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    # Off by default on CPUs without AVX-512, where it more than halves the time of a LeNet step.
    "TF_ENABLE_ONEDNN_OPTS": "1",
}
"""Environment variables that are set unless the user did."""

EPSILON = 1e-7
"""What Keras adds to denominators, by default."""

EXTRAS = ("matplotlib", "pandas", "sklearn")
"""What Keras imports at once if it is there, for galleries, data frames and wrappers that training does not need."""

IMPORTING = threading.RLock()
"""Held while TensorFlow, Keras or TFDS is imported in a process with several threads.

TFDS replaces Python's `__import__` for all threads while it imports anything, and spoils what others import meanwhile.
"""

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
    backend = loaded.config.backend() if loaded else os.environ.get("KERAS_BACKEND")
    if backend and backend != "tensorflow":
        raise UsageError(f"Keras runs on {backend}, Inkwell needs TensorFlow; set KERAS_BACKEND=tensorflow")
    for name, value in SETTINGS.items():
        os.environ[name] = os.environ.get(name) or value
    if not loaded and not _can_be_read(_keras_home() / "keras.json"):
        os.environ["KERAS_HOME"] = os.devnull  # where Keras finds no file, and can make none


def _keras_home() -> Path:
    """Return the folder of Keras's own settings, as Keras chooses it."""
    home = os.path.expanduser("~")  # noqa: PTH111, which raises where there is no home
    return Path(os.environ.get("KERAS_HOME") or Path(home if os.access(home, os.W_OK) else "/tmp") / ".keras")


def _can_be_read(settings: Path) -> bool:
    """Return whether Keras can be imported with a `keras.json`; what it says is another matter (`keras_defaults`)."""
    try:
        said = json.loads(settings.expanduser().read_bytes()) if os.path.exists(settings) else {}  # noqa: PTH110
    except ValueError:  # no JSON: Keras passes it over
        return True
    except (OSError, RuntimeError):
        return False
    return (
        isinstance(said, dict)
        and said.get("floatx", "float32") in ("float16", "float32", "float64")
        and said.get("image_data_format", "channels_last") in ("channels_last", "channels_first")
        and isinstance(said.get("epsilon", EPSILON), float)
    )


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
    with Stage("loading TensorFlow"), without_chatter(), without(EXTRAS):
        import keras
        import tensorflow as tf

        tf.config.list_logical_devices()  # the first look at the devices is what talks about missing GPUs
    keras.utils.set_random_seed(seed)
    _set_keras("float32", EPSILON, "channels_last", dtype)
    if deterministic:
        tf.config.experimental.enable_op_determinism()


@contextmanager
def keras_defaults() -> Iterator[None]:
    """Have Keras compute meanwhile as it comes, not as the user's `keras.json` or program has set it.

    That is float32, channels last and an epsilon of 1e-7. A dtype policy of the user's own, such as `mixed_float16`,
    stays; the one that only follows from Keras's default type, `floatx`, does not.
    """
    import keras

    config = keras.config
    before = config.floatx(), config.epsilon(), config.image_data_format(), config.dtype_policy()
    chosen = before[3].name != before[0]
    _set_keras("float32", EPSILON, "channels_last", before[3] if chosen else "float32")
    try:
        yield
    finally:
        _set_keras(*before)


def _set_keras(floatx: str, epsilon: float, image_data_format: str, dtype_policy: Any) -> None:
    from keras import config

    config.set_floatx(floatx)
    config.set_epsilon(epsilon)
    config.set_image_data_format(image_data_format)
    config.set_dtype_policy(dtype_policy)


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


@dataclass(frozen=True, kw_only=True)
class Environment:
    """What decides how fast TensorFlow is here, and the last bits of what it computes.

    Attributes:
        onednn: `on`, `off`, or `default`, which is TensorFlow's own choice.
        inter_op_threads: Threads that run operations beside one another; 0 is TensorFlow's own choice.
        intra_op_threads: Threads that share an operation; 0 is one for each core.
        cores: Cores that this process may use.
    """

    onednn: str
    inter_op_threads: int
    intra_op_threads: int
    cores: int


def environment() -> Environment:
    """Return what decides how fast TensorFlow is here."""
    tensorflow = sys.modules.get("tensorflow")
    chosen = tensorflow.config.threading if tensorflow is not None else None
    return Environment(
        onednn={"1": "on", "0": "off"}.get(os.environ.get("TF_ENABLE_ONEDNN_OPTS", ""), "default"),
        inter_op_threads=(chosen.get_inter_op_parallelism_threads() if chosen else 0) or _threads("INTER"),
        intra_op_threads=(chosen.get_intra_op_parallelism_threads() if chosen else 0) or _threads("INTRA"),
        cores=usable_cores(),
    )


@cache  # TensorFlow makes its threads once
def usable_cores() -> int:
    """Return how many cores this process may use, as TensorFlow counts them: not those of a container's quota."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _threads(kind: str) -> int:
    """Return the number of threads that the environment chooses; TensorFlow takes what is no number for 0."""
    text = os.environ.get(f"TF_NUM_{kind}OP_THREADS", "")
    return int(text) if text.isdecimal() and len(text) < 6 else 0


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

    TensorFlow logs before it reads its own log level, so that no setting silences it. That stderr is full, closed or
    has lost its reader changes nothing.
    """
    try:
        kept, place = os.dup(2), _place_aside()
    except OSError:  # stderr is closed, and nothing will be seen anyway; or there is no place for what is held back
        yield
        return
    _flush_stderr()
    with place as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            _flush_stderr()
            os.dup2(kept, 2)
            os.close(kept)
            held.seek(0)
            with suppress(OSError):
                for line in held:
                    if not CHATTER.match(line):
                        os.write(2, line)


def _flush_stderr() -> None:
    with suppress(OSError, ValueError, AttributeError):  # its reader has gone, it is closed, there is none
        sys.stderr.flush()
