"""Does a killed run continue as if nothing had happened, whatever goes in and out of its model?"""

from __future__ import annotations

import random
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, Done, make_images, run_command
from test_resume import check_equal

STEPS, SAVED = 21, 4  # three epochs of seven steps; a checkpoint every fourth


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of arrays: 100 images, numbers beside them, two labels of each and a weight."""
    images, numbers = make_images(100), np.random.default_rng(0)
    arrays = {
        "left": images.images,
        "right": numbers.random((100, 5), np.float32),
        "digit": images.labels,
        "ink": images.images.mean(axis=(1, 2, 3), dtype=np.float32) / 255,
        "weight": numbers.uniform(0, 2, 100).astype(np.float32),
    }
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    return tmp_path


def train(folder: Path, *arguments: str | int) -> Done:
    """Run `trees.py`, which trains or resumes."""
    return run_command([sys.executable, str(ROOT / "tests" / "runs" / "trees.py"), *map(str, arguments)], folder)


def killed_and_resumed(folder: Path, kind: str, *steps: int) -> None:
    """Check that a run that is killed after each of some steps equals one that is not."""
    whole = train(folder, kind, "whole")
    assert whole.returncode == 0, whole.stderr
    for step in steps:
        killed = train(folder, kind, "run", step)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    resumed = train(folder, kind, "run")
    assert resumed.returncode == 0, resumed.stderr
    check_equal(folder / "run", folder / "whole")


def test_two_inputs_two_outputs_weights_and_memory_maps_resume_bit_for_bit(folder):
    killed_and_resumed(folder, "inputs,outputs,weights,mapped", random.Random().randint(SAVED + 1, STEPS - 1))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["inputs", "outputs", "weights", "mapped", "inputs,outputs,weights,mapped"])
def test_killed_at_three_random_steps_in_turn(folder, kind):
    killed_and_resumed(folder, kind, *sorted(random.Random().sample(range(SAVED + 1, STEPS), 3)))
