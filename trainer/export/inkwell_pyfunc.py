"""Loads an exported SavedModel for MLflow. Travels with the model; needs TensorFlow, NumPy and MLflow, not Inkwell."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import tensorflow as tf
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE


class RefusedImages(MlflowException):
    """Images that the model cannot take; told in one line.

    MLflow's server writes all the pixels before the message of an exception, so this one keeps its first message.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message, INVALID_PARAMETER_VALUE)

    @property
    def message(self) -> str:
        """What is wrong."""
        return str(self.args[0])

    @message.setter
    def message(self, _: str) -> None:
        pass


class Classifier:
    """From images to probabilities; several threads may call it.

    Args:
        folder: A SavedModel whose signature takes `images` and returns `probabilities`.
    """

    def __init__(self, folder: str) -> None:
        self.model = tf.saved_model.load(folder)  # kept, since a signature does not keep its variables
        self.signature = self.model.signatures["serving_default"]
        self.image_shape = tuple(self.signature.structured_input_signature[1]["images"].shape[1:])
        self.predict(np.zeros((1, *self.image_shape), np.uint8))  # the first call is slow

    def predict(self, images: np.ndarray | list[Any]) -> np.ndarray:
        """Return probabilities, float32 `[N, K]`.

        Args:
            images: uint8 `[N, H, W, C]`, or nested lists of that shape with whole numbers from 0 to 255.

        Raises:
            RefusedImages: If they are anything else.
        """
        return self.signature(images=tf.constant(self._checked(images)))["probabilities"].numpy()

    def _checked(self, images: Any) -> np.ndarray:
        try:
            array = np.asarray(images)
        except ValueError:
            raise self._refused("lists of unequal lengths") from None
        if array.shape[1:] != self.image_shape or array.ndim != 1 + len(self.image_shape):
            raise self._refused(f"{array.dtype} {list(array.shape)}")
        if array.dtype != np.uint8:
            if not isinstance(images, list) or array.dtype.kind != "i":  # JSON has no uint8
                raise self._refused(f"{array.dtype} {list(array.shape)}")
            if array.min() < 0 or array.max() > 255:
                raise self._refused(f"numbers from {array.min()} to {array.max()}")
        return array.astype(np.uint8, copy=False)

    def _refused(self, found: str) -> RefusedImages:
        expected = f"uint8 [N, {', '.join(map(str, self.image_shape))}], in JSON whole numbers from 0 to 255"
        return RefusedImages(f"the images must be {expected}; these are {found}")


def _load_pyfunc(path: str) -> Classifier:
    """Return what `mlflow.pyfunc` asks to predict; called by it."""
    classifier = Classifier(path)
    # The lists of a JSON request set off the garbage collector, which would look through all of TensorFlow each time:
    # that is most of the time of an answer.
    gc.collect()
    gc.freeze()
    return classifier
