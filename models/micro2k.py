"""A network with fewer than 2,000 parameters: one separable convolution is applied three times."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from models.sizes import check_size
from trainer.config.types import BelowOne
from trainer.registry import models


@models.register("micro2k")
def micro2k(input_shape: tuple[int, int, int], num_classes: int, dropout: BelowOne = 0.1) -> keras.Model:
    """Build a network of 1,936 parameters, 0.41 MMAC for images of 28 x 28 x 1 and 10 classes.

    The smallest network of github.com/ruslangrimov/mnist-minimal-model (`1936/model.txt`, 2019).

    Args:
        input_shape: Height, width and channels, at least 8 x 8.
        num_classes: Number of classes.
        dropout: Fraction of units dropped after each layer, from 0 to below 1.

    Returns:
        A model from images float32 `[N, H, W, C]` in [0, 1] to logits float32 `[N, num_classes]`.

    Raises:
        ValueError: If the images are too small or `dropout` is out of range.
    """
    check_size(input_shape, 8)
    images = keras.Input(input_shape, name="images")
    x = layers.Conv2D(8, 3, activation="relu", name="conv")(images)
    x = InstanceNormalization(name="conv_norm")(x)
    x = layers.MaxPooling2D(name="pool")(x)
    x = _dropped(x, dropout, "conv")
    x = layers.SeparableConv2D(26, 3, activation="relu", name="separable")(x)
    x = _dropped(InstanceNormalization(name="separable_norm")(x), dropout, "separable")
    shared = layers.SeparableConv2D(26, 3, padding="same", activation="relu", name="shared")
    for turn in (1, 2, 3):
        x = InstanceNormalization(name=f"shared{turn}_norm")(shared(x))
        x = _dropped(x, dropout, f"shared{turn}")
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    x = layers.Dense(16, activation="relu", name="hidden")(x)
    x = _dropped(InstanceNormalization(name="hidden_norm")(x), dropout, "hidden")
    logits = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(images, logits, name="micro2k")


def _dropped(x: Any, dropout: float, name: str) -> Any:
    return layers.Dropout(dropout, name=f"{name}_dropout")(x) if dropout else x


@keras.saving.register_keras_serializable("inkwell")
class InstanceNormalization(layers.Layer):
    """Normalises each image to mean 0 and variance 1 over all axes, then applies one trainable scale and offset.

    Keras's own normalisation layers have at least one scale per channel.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create scale and offset, one number each."""
        self.scale = self.add_weight(shape=(), initializer="ones", name="scale")
        self.offset = self.add_weight(shape=(), initializer="zeros", name="offset")

    def call(self, inputs: Any) -> Any:
        """Return the normalised images."""
        axes = tuple(range(1, len(inputs.shape)))
        mean, variance = ops.moments(inputs, axes, keepdims=True)
        return (inputs - mean) * ops.rsqrt(variance + 1e-3) * self.scale + self.offset
