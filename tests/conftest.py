"""What the tests share: a quiet TensorFlow, small data that can be learnt, and a way to run the scripts."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from trainer import backend
from trainer.data.imageset import ImageSet

ROOT = Path(__file__).parents[1]

backend.configure()


@pytest.fixture(scope="session")
def keras():
    """Keras on a started TensorFlow; what does not ask for it is tested without."""
    backend.start(seed=0)
    import keras

    return keras


@pytest.fixture(scope="session")
def mnist_folder() -> Path:
    """The folder of the real MNIST files; without it the test is skipped."""
    folder = os.environ.get("INKWELL_MNIST")
    if not folder:
        pytest.skip("INKWELL_MNIST does not name a folder of the MNIST files")
    return Path(folder)


def make_images(count: int, classes: int = 4, side: int = 12, channels: int = 1, seed: int = 0) -> ImageSet:
    """Return images of which each class has a bright stripe of its own, with noise; learnt in a few steps."""
    random = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int32) % classes
    images = random.integers(0, 60, (count, side, side, channels))
    for k in range(classes):
        rows = slice(k * side // classes, (k + 1) * side // classes)
        images[labels == k, rows] += 150
    return ImageSet(images.astype(np.uint8), labels)


@pytest.fixture
def images() -> ImageSet:
    """200 images of 12 x 12 x 1 in 4 classes."""
    return make_images(200)


Script = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Runs a script of the project in an empty folder, as a user would."""

    def run(
        name: str, *arguments: str | Path, timeout: float = 120, env: dict[str, str] | None = None, cwd: Path = tmp_path
    ) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "scripts" / name), *map(str, arguments)]
        environment = {**os.environ, **(env or {})}
        return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout)

    return run
