"""Start TensorFlow and Keras with settings that must precede the import, and keep their chatter off the terminal."""

from __future__ import annotations

import gc
import json
import logging
import os
import re
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

from trainer.errors import InkwellError, UsageError
from trainer.stage import Stage

SETTINGS = {
    "KERAS_BACKEND": "tensorflow",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    # Off by default on CPUs without AVX-512, where it more than halves the time of a LeNet step.
    "TF_ENABLE_ONEDNN_OPTS": "1",
}
"""Environment variables, set unless the user has set them."""

EPSILON = 1e-7
"""Default small number that Keras adds to denominators."""

EXTRAS = ("IPython", "matplotlib", "pandas", "scipy", "sklearn")
"""Packages that TensorFlow and Keras import if they are installed, and that training does not need."""

GPU_DRIVERS = ("/dev/nvidiactl", "/dev/dxg")
"""Files of which there is one on a Linux machine with a GPU."""

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
    _QuietTensorFlow.install()
    warnings.filterwarnings("ignore", "IProgress not found")  # of tqdm in a notebook; we show no bars with widgets


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
    _set_keras("float32", EPSILON, "channels_last", dtype)
    if deterministic:
        tf.config.experimental.enable_op_determinism()


@contextmanager
def keras_defaults() -> Iterator[None]:
    """Restore Keras's own defaults for the duration, whatever the user's `keras.json` or program has set.

    These are float32, channels last and an epsilon of 1e-7. A dtype policy chosen by the user, such as
    `mixed_float16`, is kept; one that merely follows from `floatx` is not.
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


def clock_is_allowed() -> bool:
    """Return True if TensorFlow may read a clock inside a function, which op determinism forbids."""
    import tensorflow as tf

    try:
        tf.timestamp()
    except tf.errors.OpError:
        return False
    return True


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Settings that determine TensorFlow's speed on this machine, and the last bits of its results.

    Attributes:
        onednn: `on`, `off`, or `default`, which leaves the choice to TensorFlow.
        inter_op_threads: Threads that run independent operations in parallel; 0 leaves the number to TensorFlow.
        intra_op_threads: Threads that share one operation; 0 means one per core.
        cores: Cores that this process may use.
    """

    onednn: str
    inter_op_threads: int
    intra_op_threads: int
    cores: int


def environment() -> Environment:
    """Return the settings in effect."""
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
    """Return how many cores this process may use, counted like TensorFlow, which ignores a container's quota."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _threads(kind: str) -> int:
    """Return the number of threads set in the environment; like TensorFlow, read anything but a number as 0."""
    text = os.environ.get(f"TF_NUM_{kind}OP_THREADS", "")
    return int(text) if text.isdecimal() and len(text) < 6 else 0


@contextmanager
def collector_paused() -> Iterator[None]:
    """Import large packages without the garbage collector, which takes a quarter of the time and finds nothing.

    What was imported is left out of later collections too, by `gc.freeze`.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


@contextmanager
def without(packages: tuple[str, ...]) -> Iterator[None]:
    """Hide packages that are not imported yet, as if not installed, from this thread for the duration."""
    thread = threading.get_ident()

    class Refuse(MetaPathFinder):
        def find_spec(self, name: str, path: object = None, target: object = None) -> None:
            if name in packages and threading.get_ident() == thread:
                raise ModuleNotFoundError(f"{name} is hidden", name=name)

    refuse = Refuse()
    sys.meta_path.insert(0, refuse)
    try:
        yield
    finally:
        sys.meta_path.remove(refuse)


def _buffer_file() -> BinaryIO:
    """Return an open file: in memory on Linux, elsewhere in the temporary folder."""
    if sys.platform == "linux":
        return os.fdopen(os.memfd_create("stderr"), "w+b")
    return tempfile.TemporaryFile()


@contextmanager
def without_chatter() -> Iterator[None]:
    """Hold back whatever C++ code writes to stderr, and pass on all but the log lines known to be noise.

    TensorFlow logs before it reads its own log level, so no setting silences it. A full or closed stderr, or one
    without a reader, changes nothing.
    """
    try:
        kept, buffer = os.dup(2), _buffer_file()
    except OSError:  # stderr is closed, or there is nowhere to keep the lines
        yield
        return
    _flush_stderr()
    with buffer as held:
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


class _QuietTensorFlow(MetaPathFinder):
    """Has TensorFlow imported without its chatter, whoever imports it: a notebook would show that in red."""

    @classmethod
    def install(cls) -> None:
        """Wait for the import of TensorFlow, unless that is done or somebody waits for it already."""
        if "tensorflow" not in sys.modules and not any(isinstance(finder, cls) for finder in sys.meta_path):
            sys.meta_path.insert(0, cls())

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return the spec that the finders behind this one return, its loader made quiet."""
        if name != "tensorflow":
            return None
        found = (finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not self)
        spec = next((spec for spec in found if spec is not None), None)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def quietly(module: ModuleType) -> None:
                with without_chatter():
                    load(module)
                    module.get_logger().setLevel(max(module.get_logger().level, logging.WARNING))  # INFO in a notebook
                    if not any(map(os.path.exists, GPU_DRIVERS)):  # where there is one, a process that forks waits
                        module.config.list_physical_devices()  # the first look complains that there is no GPU

            spec.loader.exec_module = quietly  # type: ignore[method-assign]  # of this loader alone
        return spec


def _flush_stderr() -> None:
    with suppress(OSError, ValueError, AttributeError):  # closed, missing, or without a reader
        sys.stderr.flush()
