"""Regression: the angle by which a digit was rotated."""

from __future__ import annotations

import keras
import numpy as np
from plain_keras import fitted
from scipy.ndimage import rotate

from trainer import Trainer
from trainer.data import load
from trainer.tasks.supervised import Supervised

EPOCHS, BATCH = 12, 64
AT_LEAST = -13.0
"""The worst score that counts as learnt; guessing 0 gives -28."""


def data(count: int | None = None) -> dict:
    """Return digits, uint8 `[N, 28, 28, 1]`, and the angles by which they were rotated, in radians, by split."""
    digits, random = load("mnist5k"), np.random.default_rng(0)

    def rotated(images):
        angles = random.uniform(-1, 1, len(images)).astype(np.float32)
        pairs = zip(images, np.degrees(angles), strict=True)
        return np.stack([rotate(image, angle, reshape=False, order=1) for image, angle in pairs]), angles

    return {name: rotated(getattr(digits, name).images[:count]) for name in ("train", "validation", "test")}


def network() -> keras.Model:
    layers = keras.layers
    images = keras.Input((28, 28, 1))
    x = layers.MaxPooling2D()(layers.Conv2D(16, 3, activation="relu")(images))
    x = layers.MaxPooling2D()(layers.Conv2D(32, 3, activation="relu")(x))
    x = layers.Dense(64, activation="relu")(layers.Flatten()(x))
    return keras.Model(images, layers.Dense(1)(x))


def keras_version(seed: int, sets: dict, epochs: int = EPOCHS) -> keras.Model:
    keras.utils.set_random_seed(seed)
    model = network()
    model.compile(keras.optimizers.Adam(1e-3), loss="huber", metrics=["mae"])
    return fitted(model, sets, batch_size=BATCH, epochs=epochs)


def inkwell_version(seed: int, sets: dict, epochs: int = EPOCHS) -> Trainer:
    keras.utils.set_random_seed(seed)
    task = Supervised(loss="huber", metrics=["mae"])
    trainer = Trainer(network(), task=task, optimizer=keras.optimizers.Adam(1e-3), seed=seed)
    trainer.fit(*sets["train"], validation_data=sets["validation"], epochs=epochs, batch_size=BATCH)
    return trainer


def score(outputs: np.ndarray, angles: np.ndarray) -> float:
    """Return the mean absolute error in degrees, negated."""
    return -float(np.degrees(np.abs(outputs[:, 0] - angles).mean()))


if __name__ == "__main__":
    sets = data()
    x, y = sets["test"]
    print(f"off by {-score(inkwell_version(0, sets).predict(x), y):.1f} degrees on average")
