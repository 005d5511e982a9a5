"""Multi-label classification: which digits are in a picture of one to three."""

from __future__ import annotations

import keras
import numpy as np
from plain_keras import fitted

from trainer import Trainer
from trainer.data import load
from trainer.tasks.supervised import Supervised

EPOCHS, BATCH = 15, 64
AT_LEAST = 0.6
"""The worst score that counts as learnt; guessing gives about 0.2."""


def data(count: int | None = None) -> dict:
    """Return pictures, uint8 `[N, 28, 84, 1]`, and the digits in them, float32 `[N, 10]` of 0 and 1, by split."""
    digits, random = load("mnist5k"), np.random.default_rng(0)

    def pictures(digits):
        number = len(digits.images[:count])
        chosen = random.integers(len(digits), size=(number, 3))
        shown = np.arange(3) < random.integers(1, 4, size=(number, 1))
        images = digits.images[chosen] * shown[..., None, None, None].astype(np.uint8)
        present = np.zeros((number, 10), np.float32)
        rows, columns = np.nonzero(shown)
        present[rows, digits.labels[chosen[rows, columns]]] = 1
        return np.concatenate(list(np.moveaxis(images, 1, 0)), axis=2), present

    return {name: pictures(getattr(digits, name)) for name in ("train", "validation", "test")}


def network() -> keras.Model:
    layers = keras.layers
    images = keras.Input((28, 84, 1))
    x = layers.MaxPooling2D()(layers.Conv2D(12, 3, activation="relu")(images))
    x = layers.MaxPooling2D()(layers.Conv2D(32, 3, activation="relu")(x))
    x = layers.Conv2D(64, 5, activation="relu")(x)
    return keras.Model(images, layers.Dense(10)(layers.GlobalMaxPooling2D()(x)))


def keras_version(seed: int, sets: dict, epochs: int = EPOCHS) -> keras.Model:
    keras.utils.set_random_seed(seed)
    model = network()
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(2e-3), loss=loss, metrics=[average_precision()])
    return fitted(model, sets, batch_size=BATCH, epochs=epochs)


def inkwell_version(seed: int, sets: dict, epochs: int = EPOCHS) -> Trainer:
    keras.utils.set_random_seed(seed)
    task = Supervised(loss="binary_crossentropy", metrics=["average_precision"])
    trainer = Trainer(network(), task=task, optimizer=keras.optimizers.Adam(2e-3), seed=seed)
    trainer.fit(*sets["train"], validation_data=sets["validation"], epochs=epochs, batch_size=BATCH)
    return trainer


def average_precision() -> keras.metrics.Metric:
    return keras.metrics.AUC(
        curve="PR", multi_label=True, num_labels=10, from_logits=True, name="mean_average_precision"
    )


def score(outputs: np.ndarray, present: np.ndarray) -> float:
    """Return the mean over the digits of the area under the precision-recall curve."""
    metric = average_precision()
    metric.update_state(present, outputs)
    return float(metric.result())


if __name__ == "__main__":
    sets = data()
    x, y = sets["test"]
    print(f"mean average precision {score(inkwell_version(0, sets).predict(x), y):.3f}")
