"""Imbalanced classes: five digits with 300 examples each and five with 10, weighted so that each class counts alike."""

from __future__ import annotations

import keras
import numpy as np
from plain_keras import fitted

from trainer import Trainer
from trainer.data import load
from trainer.tasks.classification import Classification

EPOCHS, BATCH = 30, 64
AT_LEAST = 0.7
"""The worst score that counts as learnt; the five common digits alone give 0.5."""


def data(common: int = 300, rare: int = 10) -> dict:
    """Return digits, uint8 `[N, 28, 28, 1]`, and labels, int32 `[N]`, by split.

    There are `common` images of each digit from 0 to 4 to train on, 50 of each to validate, and `rare` of each from 5
    to 9 for both; test images are balanced.
    """
    digits = load("mnist5k")

    def unequal(part, common):
        kept = [np.flatnonzero(part.labels == digit)[: common if digit < 5 else rare] for digit in range(10)]
        return part.images[np.concatenate(kept)], part.labels[np.concatenate(kept)]

    return {
        "train": unequal(digits.train, common),
        "validation": unequal(digits.validation, 50),
        "test": (digits.test.images, digits.test.labels),
    }


def network() -> keras.Model:
    layers = keras.layers
    images = keras.Input((28, 28, 1))
    x = layers.MaxPooling2D()(layers.Conv2D(16, 3, activation="relu")(images))
    x = layers.MaxPooling2D()(layers.Conv2D(32, 3, activation="relu")(x))
    return keras.Model(images, layers.Dense(10)(layers.Dropout(0.4)(layers.Flatten()(x))))


def keras_version(seed: int, sets: dict, epochs: int = EPOCHS) -> keras.Model:
    keras.utils.set_random_seed(seed)
    _, y = sets["train"]
    numbers = np.bincount(y, minlength=10)
    model = network()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss=loss, metrics=["accuracy"])
    return fitted(
        model,
        sets,
        batch_size=BATCH,
        epochs=epochs,
        class_weight={digit: len(y) / (10 * number) for digit, number in enumerate(numbers)},
    )


def inkwell_version(seed: int, sets: dict, epochs: int = EPOCHS) -> Trainer:
    keras.utils.set_random_seed(seed)
    task = Classification(class_weight="balanced")
    trainer = Trainer(network(), task=task, optimizer=keras.optimizers.Adam(1e-3), seed=seed)
    trainer.fit(*sets["train"], validation_data=sets["validation"], epochs=epochs, batch_size=BATCH)
    return trainer


def score(outputs: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean recall over the classes."""
    right = outputs.argmax(axis=1) == labels
    return float(np.mean([right[labels == digit].mean() for digit in range(10)]))


if __name__ == "__main__":
    sets = data()
    x, y = sets["test"]
    print(f"mean recall {score(inkwell_version(0, sets).predict(x), y):.3f}")
