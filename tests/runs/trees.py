"""Trains on trees of arrays in the current folder, as a user's script does: the program of `test_resume_trees.py`.

    python trees.py KIND RUN_DIR [STEP]

The run is continued if the run directory exists. The process kills itself after a step if one is given.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import keras
import numpy as np

from plugins.checkpoint import Checkpoint
from trainer import Every, Plugin, Run, Trainer
from trainer.tasks.supervised import Supervised

LOSSES = {"digit": "sparse_categorical_crossentropy", "ink": "huber"}


class Killer(Plugin):
    """Kills the process after a step, once there is a checkpoint to resume from; 0 never does."""

    every = Every(steps=1)
    observer = True

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, run: Run) -> None:
        if run.step == self.step:
            deadline = time.monotonic() + 300
            while not (run.directory / "checkpoints" / "last").exists() and time.monotonic() < deadline:
                time.sleep(0.01)  # checkpoints are written in the background
            os.kill(os.getpid(), signal.SIGKILL)


def network(several_inputs: bool, several_outputs: bool) -> keras.Model:
    """Return a model with everything that resuming can lose."""
    layers = keras.layers
    left, right = keras.Input((12, 12, 1), name="left"), keras.Input((5,), name="right")
    x = layers.BatchNormalization()(layers.Conv2D(4, 3, activation="relu")(left))
    x = layers.Flatten()(layers.MaxPooling2D()(x))
    if several_inputs:
        x = layers.Concatenate()([x, right])
    x = layers.Dropout(0.3)(x)
    digit, ink = layers.Dense(4, name="digit")(x), layers.Dense(1, name="ink")(x)
    inputs = {"left": left, "right": right} if several_inputs else left
    return keras.Model(inputs, {"digit": digit, "ink": ink} if several_outputs else digit)


def main(kind: str, run_dir: str, step: str = "0") -> None:
    """Train or resume.

    Args:
        kind: Words of what the data are made of: `inputs`, `outputs`, `weights`, `mapped`, joined by commas.
        run_dir: The run directory.
        step: The step after which the process is killed; 0 for none.
    """
    words = kind.split(",")
    mode = "r" if "mapped" in words else None
    arrays = {path.stem: np.load(path, mmap_mode=mode) for path in sorted(Path().glob("*.npy"))}
    x = {"left": arrays["left"], "right": arrays["right"]} if "inputs" in words else arrays["left"]
    y = {"digit": arrays["digit"], "ink": arrays["ink"]} if "outputs" in words else arrays["digit"]
    weight = arrays["weight"] if "weights" in words else None

    keras.utils.set_random_seed(0)
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-2, 100), use_ema=True)
    trainer = Trainer(
        network("inputs" in words, "outputs" in words),
        task=Supervised(LOSSES if "outputs" in words else LOSSES["digit"]),
        optimizer=optimizer,
        plugins=[Checkpoint(every_steps=4), Killer(int(step))],
        run_dir=run_dir,
    )
    verb = trainer.resume if Path(run_dir).exists() else trainer.fit
    verb(x, y, sample_weight=weight, validation_data=(x, y, weight), epochs=3, batch_size=16)


if __name__ == "__main__":
    main(*sys.argv[1:])
