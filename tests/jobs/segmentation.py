"""Segmentation: the class of every pixel, where fragments of other digits lie around a digit."""

from __future__ import annotations

import keras
import numpy as np
from plain_keras import fitted

from trainer import Trainer
from trainer.data import load
from trainer.tasks.supervised import Supervised

EPOCHS, BATCH = 12, 32
AT_LEAST = 0.35
"""The worst score that counts as learnt; calling all of it background gives 0.09."""
SIDE, DIGIT, FRAGMENT = 20, 14, 5


def data(count: int | None = None) -> dict:
    """Return pictures, uint8 `[N, 20, 20, 1]`, and classes of pixels, int32 `[N, 20, 20]`, by split.

    Class 0 is everything that is not the digit, class k + 1 the ink of digit k.
    """
    digits, random = load("mnist5k"), np.random.default_rng(0)

    def cluttered(digits):
        images, classes = digits.images[:count, ::2, ::2, 0], digits.labels
        pictures = np.zeros((len(images), SIDE, SIDE), np.uint8)
        pixels = np.zeros(pictures.shape, np.int32)
        for image, label, picture, truth in zip(images, classes, pictures, pixels, strict=False):
            for _ in range(5):
                other = images[random.integers(len(images))]
                (a, b), (c, d) = random.integers(DIGIT - FRAGMENT, size=2), random.integers(SIDE - FRAGMENT, size=2)
                picture[c : c + FRAGMENT, d : d + FRAGMENT] = other[a : a + FRAGMENT, b : b + FRAGMENT]
            top, left = random.integers(SIDE - DIGIT, size=2)
            place = slice(top, top + DIGIT), slice(left, left + DIGIT)
            picture[place] = np.maximum(picture[place], image)
            truth[place][image > 127] = label + 1
        return pictures[..., None], pixels

    return {name: cluttered(getattr(digits, name)) for name in ("train", "validation", "test")}


def network() -> keras.Model:
    """Return a small U-Net (Ronneberger et al. 2015, arXiv 1505.04597)."""
    layers = keras.layers

    def block(x, filters):
        return layers.Conv2D(filters, 3, padding="same", activation="relu")(x)

    images = keras.Input((SIDE, SIDE, 1))
    fine = block(images, 12)
    coarse = block(layers.MaxPooling2D()(fine), 24)
    deep = block(block(layers.MaxPooling2D()(coarse), 48), 48)
    coarse = block(layers.Concatenate()([coarse, layers.UpSampling2D()(deep)]), 24)
    fine = block(layers.Concatenate()([fine, layers.UpSampling2D()(coarse)]), 16)
    return keras.Model(images, layers.Conv2D(11, 1)(fine))


def keras_version(seed: int, sets: dict, epochs: int = EPOCHS) -> keras.Model:
    keras.utils.set_random_seed(seed)
    model = network()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(3e-3), loss=loss, metrics=["accuracy", overlap()])
    return fitted(model, sets, batch_size=BATCH, epochs=epochs)


def inkwell_version(seed: int, sets: dict, epochs: int = EPOCHS) -> Trainer:
    keras.utils.set_random_seed(seed)
    task = Supervised(loss="sparse_categorical_crossentropy", metrics=["accuracy", overlap()])
    trainer = Trainer(network(), task=task, optimizer=keras.optimizers.Adam(3e-3), seed=seed)
    trainer.fit(*sets["train"], validation_data=sets["validation"], epochs=epochs, batch_size=BATCH)
    return trainer


def overlap() -> keras.metrics.Metric:
    return keras.metrics.MeanIoU(11, sparse_y_pred=False, name="mean_iou")


def score(outputs: np.ndarray, pixels: np.ndarray) -> float:
    """Return the mean over the 11 classes of intersection over union."""
    metric = overlap()
    metric.update_state(pixels, outputs)
    return float(metric.result())


if __name__ == "__main__":
    sets = data()
    x, y = sets["test"]
    print(f"mean intersection over union {score(inkwell_version(0, sets).predict(x), y):.3f}")
