"""The format `savedmodel`: a TensorFlow SavedModel whose signature maps `images` to `probabilities`."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from trainer.export.format import Classifier, Format, Served
from trainer.export.serving import serving


def write(served: Served, folder: Path) -> None:
    """Write the model, which accepts batches of any size."""
    archive = keras.export.ExportArchive()
    archive.track(served.model)
    archive.add_endpoint("serving_default", serving(served.model, served.input_shape, served.temperature))
    archive.write_out(folder, verbose=False)


def read(folder: Path) -> Classifier:
    """Return the signature as a function of NumPy arrays."""
    model = tf.saved_model.load(folder)
    signature = model.signatures["serving_default"]

    def classify(images: np.ndarray, _keeps_the_variables: object = model) -> np.ndarray:
        return signature(images=tf.constant(images))["probabilities"].numpy()

    return classify


FORMAT = Format(write, read)
