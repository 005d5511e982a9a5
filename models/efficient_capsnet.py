"""Capsules: vectors whose length tells whether something is present and whose direction tells how it looks."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from models.sizes import check_size
from trainer.config.types import Positive
from trainer.registry import models


@models.register("efficient_capsnet")
def efficient_capsnet(input_shape: tuple[int, int, int], num_classes: int, sharpness: Positive = 16.0) -> keras.Model:
    """Build Efficient-CapsNet without its decoder: 161,824 trainable parameters, 30.1 MMAC for 28 x 28 x 1.

    Mazzia et al. 2021, "Efficient-CapsNet: capsule network with self-attention routing", Scientific Reports 11,
    arXiv 2101.12491, section "Methods". Each class capsule has a length below 1; the logits are these lengths times
    `sharpness`, so that softmax cross-entropy can replace the paper's margin loss: at the paper's margins of 0.9 and
    0.1, a factor of 16 gives the true one of 10 classes a probability of 0.99998.

    Args:
        input_shape: Height, width and channels, at least 11 x 11.
        num_classes: Number of classes.
        sharpness: Factor by which the length of a capsule is multiplied to give its logit.

    Returns:
        A model from images float32 `[N, H, W, C]` in [0, 1] to logits float32 `[N, num_classes]`, each in
        [0, `sharpness`).

    Raises:
        ValueError: If the images are too small or `sharpness` is out of range.
    """
    check_size(input_shape, 11)
    images = keras.Input(input_shape, name="images")
    x = images
    for number, (channels, size, strides) in enumerate([(32, 5, 1), (64, 3, 1), (64, 3, 1), (128, 3, 2)], start=1):
        x = layers.Conv2D(
            channels, size, strides, activation="relu", kernel_initializer="he_normal", name=f"conv{number}"
        )(x)
        x = layers.BatchNormalization(name=f"norm{number}")(x)
    x = layers.DepthwiseConv2D(x.shape[1:3], name="primary")(x)
    x = layers.Reshape((16, 8), name="primary_capsules")(x)
    x = CapsuleSquash(dtype="float32", name="primary_squash")(x)
    x = RoutedCapsules(num_classes, 16, dtype="float32", name="class_capsules")(x)
    x = CapsuleSquash(dtype="float32", name="class_squash")(x)
    logits = CapsuleLength(sharpness, dtype="float32", name="logits")(x)
    return keras.Model(images, logits, name="efficient_capsnet")


def _length(capsules: Any, keepdims: bool = False) -> Any:
    """Return the lengths along the last axis; the small constant gives a capsule of length 0 a gradient."""
    return ops.sqrt(ops.sum(ops.square(capsules), axis=-1, keepdims=keepdims) + 1e-12)


@keras.saving.register_keras_serializable("inkwell")
class CapsuleSquash(layers.Layer):
    """Gives capsules `[N, capsules, D]` of length n the length 1 - exp(-n)."""

    def call(self, inputs: Any) -> Any:
        """Return the shortened capsules."""
        length = _length(inputs, keepdims=True)
        return (1 - ops.exp(-length)) * inputs / length


@keras.saving.register_keras_serializable("inkwell")
class RoutedCapsules(layers.Layer):
    """Class capsules computed from part capsules, `[N, parts, D]` to `[N, capsules, size]`, by self-attention.

    Every part predicts every class. A prediction is weighted by its agreement with the other parts' predictions for
    that class, normalised across classes by softmax, plus a trainable prior.

    Args:
        capsules: Number of capsules, one per class.
        size: Dimension of each capsule.
        kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(self, capsules: int, size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.capsules, self.size = capsules, size

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create a matrix `[D, size]` and a prior for every pair of class and part."""
        parts, numbers = input_shape[1:]
        self.matrices = self.add_weight(
            shape=(self.capsules, parts, numbers, self.size),
            initializer=keras.initializers.RandomNormal(stddev=(numbers or 1) ** -0.5),
            name="matrices",
        )
        self.priors = self.add_weight(shape=(self.capsules, parts, 1), initializer="zeros", name="priors")

    def call(self, inputs: Any) -> Any:
        """Return the class capsules before squashing."""
        predictions = ops.einsum("npd,kpds->nkps", inputs, self.matrices)
        agreement = ops.sum(predictions * ops.sum(predictions, axis=2, keepdims=True), axis=-1, keepdims=True)
        share = ops.softmax(agreement / self.size**0.5, axis=1)
        return ops.sum(predictions * (share + self.priors), axis=2)

    def get_config(self) -> dict[str, Any]:
        """Return the layer's configuration, including number and size of the capsules."""
        return {**super().get_config(), "capsules": self.capsules, "size": self.size}


@keras.saving.register_keras_serializable("inkwell")
class CapsuleLength(layers.Layer):
    """The lengths of capsules, multiplied by a factor: `[N, capsules, D]` to `[N, capsules]`.

    Args:
        factor: Multiplier of the lengths.
        kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(self, factor: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, inputs: Any) -> Any:
        """Return the multiplied lengths."""
        return self.factor * _length(inputs)

    def get_config(self) -> dict[str, Any]:
        """Return the layer's configuration, including the factor."""
        return {**super().get_config(), "factor": self.factor}
