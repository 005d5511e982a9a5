"""Shared by the tests: a quiet TensorFlow, small data that can be learnt, and helpers that run the scripts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from processes import process_class

from trainer import Every, Plugin, Run, startup
from trainer.data.imageset import ImageSet

ROOT = Path(__file__).parents[1]

startup.configure()


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return the number of worker processes: one per usable core up to four, and none for a single file."""
    single = len(config.args) == 1 and config.args[0].partition("::")[0].endswith(".py")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 0 if single or cores == 1 else min(cores, 4)


@pytest.fixture(scope="session")
def keras():
    """Keras on a started TensorFlow; tests that do not request it run without."""
    startup.start(seed=0)
    import keras

    return keras


@pytest.fixture(scope="session")
def mnist_folder() -> Path:
    """The folder of the real MNIST files; the test is skipped without it."""
    folder = os.environ.get("INKWELL_MNIST")
    if not folder:
        pytest.skip("INKWELL_MNIST does not name a folder of the MNIST files")
    return Path(folder)


def make_images(count: int, classes: int = 4, side: int = 12, channels: int = 1, seed: int = 0) -> ImageSet:
    """Return noisy images in which each class has a bright stripe of its own; they are learnt in a few steps."""
    random = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int32) % classes
    images = random.integers(0, 60, (count, side, side, channels))
    for k in range(classes):
        rows = slice(k * side // classes, (k + 1) * side // classes)
        images[labels == k, rows] += 150
    return ImageSet(images.astype(np.uint8), labels)


def small_net(keras):
    """Return a model for `make_images` with everything that resuming can lose."""
    layers = keras.layers
    images = keras.Input((12, 12, 1))
    x = layers.BatchNormalization()(layers.Conv2D(4, 3, activation="relu")(images))
    x = layers.Dropout(0.3)(layers.Flatten()(x))
    return keras.Model(images, layers.Dense(4)(x), name="small")


class Losses(Plugin):
    """Records the loss of every step."""

    every = Every(steps=1)

    def __init__(self) -> None:
        self.losses: list[float] = []

    def on_step_end(self, run: Run) -> None:
        self.losses.append(float(run.loss))


class StopAt(Plugin):
    """Sends SIGTERM to this process after a step, 1-based."""

    every = Every(steps=1)

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, run: Run) -> None:
        if run.step == self.step:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture
def images() -> ImageSet:
    """200 images of 12 x 12 x 1 in 4 classes."""
    return make_images(200)


@contextmanager
def files_no_longer_than(size: int) -> Iterator[None]:
    """Make the system refuse longer files in this process, as a full disk does: in the middle of a write."""
    import resource  # available on Unix only

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


Done = subprocess.CompletedProcess[str]
Script = Callable[..., Done]
ALONE = ("--no-plugin", "mlflow", "--no-plugin", "report", "--progress", "none")
"""Flags of `fit.py` for a run that leaves no files but its own."""
SILENT = (*ALONE, "--augment", "none")
"""The same without augmentation, which takes longest to compile."""


def run_script(
    cwd: Path, name: str, *arguments: str | Path, timeout: float = 300, env: dict[str, str] | None = None
) -> Done:
    """Run a script of the project in a folder, as a user would."""
    command = [sys.executable, str(ROOT / "scripts" / name), *map(str, arguments)]
    return run_command(command, cwd, timeout, env)


def run_command(
    command: list[str],
    cwd: Path,
    timeout: float = 300,
    env: dict[str, str] | None = None,
    before: Callable[[], None] | None = None,
) -> Done:
    """Run one of the project's scripts in a process that has TensorFlow imported, or in a fresh one where necessary.

    Args:
        command: `[sys.executable, script, *arguments]`.
        cwd: Working directory.
        timeout: Seconds after which the process is killed and the test fails.
        env: Environment variables to add; a `PYTHONPATH` goes before the existing one.
        before: Called in the process before the command, which requires a fresh process.
    """
    changed = dict(env or {})
    if "PYTHONPATH" in changed and "PYTHONPATH" in os.environ:
        changed["PYTHONPATH"] += os.pathsep + os.environ["PYTHONPATH"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    kind = subprocess.Popen if before else process_class(changed)
    with kind(command, cwd=cwd, env={**os.environ, **changed}, preexec_fn=before, **pipes) as process:
        try:
            stdout, stderr = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Run a script of the project in an empty folder."""
    return partial(run_script, tmp_path)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An .npz file of 240 images, on which a run of one epoch takes a second."""
    path = tmp_path_factory.mktemp("tiny") / "tiny.npz"
    train, test = make_images(200), make_images(40, seed=1)
    np.savez(path, x_train=train.images, y_train=train.labels, x_test=test.images, y_test=test.labels)
    return path


class Variable(SimpleNamespace):
    """The part of a Keras variable that a checkpoint uses."""

    def __init__(self, path: str, value: np.ndarray) -> None:
        super().__init__(path=path, value=value, shape=value.shape, dtype=value.dtype.name)

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return self.value

    def assign(self, value: np.ndarray) -> None:
        self.value = value.copy()
