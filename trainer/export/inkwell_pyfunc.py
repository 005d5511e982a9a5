"""The MLflow loader of an exported SavedModel, shipped with it; needs TensorFlow, NumPy and MLflow, but not Inkwell."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import tensorflow as tf
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE


class RefusedImages(MlflowException):
    """Images that the model cannot classify, with a message of one line.

    MLflow's server puts all pixels before the message of an exception, so this one keeps its first message.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message, INVALID_PARAMETER_VALUE)

    @property
    def message(self) -> str:
        """The reason for the refusal."""
        return str(self.args[0])

    @message.setter
    def message(self, _: str) -> None:
        pass


class Classifier:
    """A thread-safe classifier from images to probabilities.

    Args:
        folder: A SavedModel whose signature takes `images` and returns `probabilities`.
    """

    def __init__(self, folder: str) -> None:
        self.model = tf.saved_model.load(folder)  # a signature alone would not keep its variables alive
        self.signature = self.model.signatures["serving_default"]
        self.image_shape = tuple(self.signature.structured_input_signature[1]["images"].shape[1:])
        self.predict(np.zeros((1, *self.image_shape), np.uint8))  # the first call is slow

    def predict(self, images: np.ndarray | list[Any]) -> np.ndarray:
        """Return probabilities, float32 `[N, K]`.

        Args:
            images: uint8 `[N, H, W, C]`, or nested lists of that shape with integers from 0 to 255.

        Raises:
            RefusedImages: If `images` is anything else.
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
        expected = f"uint8 [N, {', '.join(map(str, self.image_shape))}], in JSON integers from 0 to 255"
        return RefusedImages(f"the images must be {expected}; these are {found}")


def _load_pyfunc(path: str) -> Classifier:
    """Return the model for `mlflow.pyfunc`, which calls this function."""
    classifier = Classifier(path)
    # The lists of a JSON request trigger the garbage collector, which would scan all of TensorFlow each time and so
    # dominate the response time.
    gc.collect()
    gc.freeze()
    return classifier
