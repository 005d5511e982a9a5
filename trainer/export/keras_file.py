"""The format `keras`: one file, `model.keras`, for Keras 3; custom layers must be importable where it is read."""

from __future__ import annotations

from pathlib import Path

import keras
from keras import layers

from trainer.export.format import Classifier, Format, Served
from trainer.tasks.classification import logits_of

FILE = "model.keras"


def write(served: Served, folder: Path) -> None:
    """Write the model with scaling, temperature and softmax as layers."""
    images = keras.Input(served.input_shape, dtype="uint8", name="images")
    scaled = layers.Rescaling(1 / 255, dtype="float32")(images)
    logits = logits_of(served.model, served.model(scaled, training=False))
    calibrated = layers.Rescaling(1 / served.temperature, dtype="float32")(logits)
    probabilities = layers.Softmax(dtype="float32", name="probabilities")(calibrated)
    keras.Model(images, probabilities).save(folder / FILE)


def read(folder: Path) -> Classifier:
    """Return the model as a function of NumPy arrays."""
    model = keras.saving.load_model(folder / FILE)
    return model.predict_on_batch  # `predict` builds a pipeline per call, which takes 20 times as long


FORMAT = Format(write, read)
