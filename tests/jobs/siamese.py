"""A siamese network: whether two pictures show the same digit (Bromley et al. 1993)."""

from __future__ import annotations

import keras
import numpy as np
from plain_keras import fitted

from trainer import Trainer
from trainer.data import load
from trainer.tasks.supervised import Supervised

EPOCHS, BATCH = 15, 128
AT_LEAST = 0.8
"""The worst score that counts as learnt; guessing gives 0.5."""


def data(count: int | None = 8000) -> dict:
    """Return pairs of digits, `{"left": …, "right": …}` of uint8 `[N, 28, 28, 1]`, and 1 for the same digit, by split.

    Half of the pairs show the same digit; `count` limits the pairs for training, the others are a quarter of them.
    """
    digits, random = load("mnist5k"), np.random.default_rng(0)

    def pairs(digits, number):
        same = np.arange(number) % 2
        left = random.integers(len(digits), size=number)
        equal = digits.labels[left][:, None] == digits.labels
        right = np.array(
            [random.choice(np.flatnonzero(row == wanted)) for row, wanted in zip(equal, same, strict=True)]
        )
        return {"left": digits.images[left], "right": digits.images[right]}, same.astype(np.float32)

    sizes = {"train": count, "validation": count // 4, "test": count // 4}
    return {name: pairs(getattr(digits, name), size) for name, size in sizes.items()}


def network() -> keras.Model:
    layers = keras.layers
    tower = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(12, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(24, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(48),
        ],
        name="tower",
    )
    inputs = {name: keras.Input((28, 28, 1), name=name) for name in ("left", "right")}
    left, right = tower(inputs["left"]), tower(inputs["right"])
    return keras.Model(inputs, layers.Dense(1)(keras.ops.abs(left - right)))


def keras_version(seed: int, sets: dict, epochs: int = EPOCHS) -> keras.Model:
    keras.utils.set_random_seed(seed)
    model = network()
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss=loss, metrics=[keras.metrics.BinaryAccuracy(threshold=0.0)])
    return fitted(model, sets, batch_size=BATCH, epochs=epochs)


def inkwell_version(seed: int, sets: dict, epochs: int = EPOCHS) -> Trainer:
    keras.utils.set_random_seed(seed)
    task = Supervised(loss="binary_crossentropy", metrics=["binary_accuracy"])
    trainer = Trainer(network(), task=task, optimizer=keras.optimizers.Adam(1e-3), seed=seed)
    trainer.fit(*sets["train"], validation_data=sets["validation"], epochs=epochs, batch_size=BATCH)
    return trainer


def score(outputs: np.ndarray, same: np.ndarray) -> float:
    """Return the share of pairs that are judged correctly."""
    return float(((outputs[:, 0] > 0) == (same > 0.5)).mean())


if __name__ == "__main__":
    sets = data()
    x, y = sets["test"]
    print(f"accuracy {score(inkwell_version(0, sets).predict(x), y):.3f}")
