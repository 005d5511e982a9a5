"""The formats `litert` and `litert-int8`: one file, `model.tflite`, for phones and small computers.

Reading it does not need TensorFlow.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from trainer.errors import InkwellError
from trainer.export.format import Classifier, Format, Served
from trainer.files import scratch
from trainer.startup import without_chatter

FILE = "model.tflite"


def write(served: Served, folder: Path, quantised: bool = False) -> None:
    """Write the model.

    Args:
        served: The model.
        folder: The folder.
        quantised: If True, weights and activations are int8, in ranges determined from the examples; probabilities are
            then multiples of 1/256.
    """
    import tensorflow as tf

    from trainer.export import saved_model

    with scratch() as saved:
        saved_model.write(served, saved)  # converting a function directly would leave the variables empty
        converter = tf.lite.TFLiteConverter.from_saved_model(str(saved))
        if quantised:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = partial(_ones, served.examples)
        with without_chatter():
            (folder / FILE).write_bytes(converter.convert())


def _ones(images: np.ndarray) -> Iterator[list[np.ndarray]]:
    """Yield the images one by one, as the converter requires."""
    for start in range(len(images)):
        yield [images[start : start + 1]]


def read(folder: Path) -> Classifier:
    """Return the file as a function of NumPy arrays.

    Raises:
        InkwellError: If LiteRT is not installed.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ModuleNotFoundError as error:
        raise InkwellError('LiteRT is not installed; run python -m pip install -e ".[litert]"') from error
    with without_chatter():
        interpreter = Interpreter(str(folder / FILE))
    source, target = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def classify(images: np.ndarray) -> np.ndarray:
        interpreter.resize_tensor_input(source, images.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(source, images)
        interpreter.invoke()
        return interpreter.get_tensor(target)

    return classify


FORMAT = Format(write, read)
INT8 = Format(partial(write, quantised=True), read, tolerance=0.1, others=0.02)
