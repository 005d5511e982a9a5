"""An image with metadata: digits that can hardly be read, with two unreliable hints about each."""

from __future__ import annotations

import keras
import numpy as np
from plain_keras import fitted

from trainer import Trainer
from trainer.data import load

EPOCHS, BATCH = 15, 64
AT_LEAST = 0.7
"""The worst score that counts as learnt; the hints alone give about 0.35, the images alone about 0.7."""


def data(count: int | None = None) -> dict:
    """Return `{"image": …, "hints": …}` and the digits, int32 `[N]`, by split.

    Images are uint8 `[N, 14, 14, 1]`, half of their pixels noise. The hints, float32 `[N, 2]`, say whether the digit is
    odd and whether it is above 4; one in ten is wrong.
    """
    digits, random = load("mnist5k"), np.random.default_rng(0)

    def spoilt(digits):
        images, labels = digits.images[:count, ::2, ::2], digits.labels[:count]
        noise = random.integers(0, 256, images.shape, np.uint8)
        truth = np.stack([labels % 2, labels > 4], axis=1)
        hints = truth ^ (random.random(truth.shape) < 0.1)
        image = np.where(random.random(images.shape) < 0.5, noise, images)
        return {"image": image, "hints": hints.astype(np.float32)}, labels

    return {name: spoilt(getattr(digits, name)) for name in ("train", "validation", "test")}


def network() -> keras.Model:
    layers = keras.layers
    inputs = {"image": keras.Input((14, 14, 1), name="image"), "hints": keras.Input((2,), name="hints")}
    x = layers.Conv2D(24, 3, activation="relu")(inputs["image"])
    x = layers.MaxPooling2D()(layers.Conv2D(32, 3, activation="relu")(x))
    x = layers.Dropout(0.4)(layers.Flatten()(x))
    x = layers.Concatenate()([x, inputs["hints"]])
    x = layers.Dropout(0.4)(layers.Dense(64, activation="relu")(x))
    return keras.Model(inputs, layers.Dense(10)(layers.Concatenate()([x, inputs["hints"]])))


def keras_version(seed: int, sets: dict, epochs: int = EPOCHS) -> keras.Model:
    keras.utils.set_random_seed(seed)
    model = network()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss=loss, metrics=["accuracy"])
    return fitted(model, sets, batch_size=BATCH, epochs=epochs)


def inkwell_version(seed: int, sets: dict, epochs: int = EPOCHS) -> Trainer:
    keras.utils.set_random_seed(seed)
    trainer = Trainer(network(), optimizer=keras.optimizers.Adam(1e-3), seed=seed)
    trainer.fit(*sets["train"], validation_data=sets["validation"], epochs=epochs, batch_size=BATCH)
    return trainer


def score(outputs: np.ndarray, labels: np.ndarray) -> float:
    """Return the accuracy."""
    return float((outputs.argmax(axis=1) == labels).mean())


if __name__ == "__main__":
    sets = data()
    x, y = sets["test"]
    print(f"accuracy {score(inkwell_version(0, sets).predict(x), y):.3f}")
