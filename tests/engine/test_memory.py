"""Does a process that trains model after model grow less than one that calls `Model.fit`?"""

from __future__ import annotations

import subprocess
import sys

import pytest
from conftest import ROOT

FITS = 40
TRAINED = {
    "ours": """
def fit():
    Trainer(lenet((28, 28, 1), 10)).fit(x, y, validation_data=(x, y), epochs=1)
""",
    "theirs": """
def fit():
    model = lenet((28, 28, 1), 10)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    model.fit(x / np.float32(255), y, 128, epochs=1, verbose=0, validation_data=(x / np.float32(255), y))
""",
}
PROGRAM = """
from trainer import Trainer, startup
startup.start(0)
import keras
import numpy as np
import psutil
from models.lenet import lenet

random = np.random.default_rng(0)
x, y = random.integers(0, 256, (256, 28, 28, 1)).astype(np.uint8), random.integers(0, 10, 256)
{fit}
def megabytes():
    return psutil.Process().memory_info().rss / 1e6

for _ in range(3):
    fit()
before = megabytes()
for _ in range({fits}):
    fit()
print("grew by", megabytes() - before)
"""


def growth(kind: str) -> float:
    """Return the growth of a process over `FITS` trainings, in megabytes."""
    program = PROGRAM.format(fit=TRAINED[kind], fits=FITS)
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    return float(done.stdout.rpartition("grew by")[2])


@pytest.mark.slow
def test_forty_trainings_grow_at_most_half_as_much_as_with_model_fit():
    ours, theirs = growth("ours"), growth("theirs")
    assert ours <= theirs / 2, f"{FITS} trainings took {ours:.0f} MB, with Model.fit {theirs:.0f} MB"
