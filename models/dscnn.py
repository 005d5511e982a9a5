"""Depthwise separable convolutions: a small MobileNet."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from trainer.config.types import BelowOne, Count
from trainer.registry import models


@models.register("dscnn")
def dscnn(
    input_shape: tuple[int, int, int], num_classes: int, width: Count = 32, dropout: BelowOne = 0.0
) -> keras.Model:
    """Build a small MobileNet: 54,346 trainable parameters, 3.75 MMAC for images of 28 x 28 x 1 and 10 classes.

    The block of Howard et al. 2017, "MobileNets", arXiv 1704.04861, section 3.1, in five layers for small images.

    Args:
        input_shape: Height, width and channels.
        num_classes: Number of classes.
        width: Channels of the first convolution; the separable ones have 2, 2, 4, 4 and 4 times as many.
        dropout: Fraction of units dropped before the last layer, from 0 to below 1.

    Returns:
        A model from images float32 `[N, H, W, C]` in [0, 1] to logits float32 `[N, num_classes]`.

    Raises:
        ValueError: If an argument is out of range.
    """
    images = keras.Input(input_shape, name="images")
    x = layers.Conv2D(width, 3, padding="same", use_bias=False, name="stem")(images)
    x = _activated(x, "stem")
    for number, (factor, strides) in enumerate([(2, 2), (2, 1), (4, 2), (4, 1), (4, 1)], start=1):
        x = layers.DepthwiseConv2D(3, strides, padding="same", use_bias=False, name=f"depthwise{number}")(x)
        x = _activated(x, f"depthwise{number}")
        x = layers.Conv2D(factor * width, 1, use_bias=False, name=f"pointwise{number}")(x)
        x = _activated(x, f"pointwise{number}")
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    logits = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(images, logits, name="dscnn")


def _activated(x: Any, name: str) -> Any:
    """Return batch normalisation and ReLU, which follow every convolution."""
    x = layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x)
