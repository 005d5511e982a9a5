"""LeNet-5 in its modern form: fully connected C3, ReLU, max pooling, logits."""

from __future__ import annotations

import keras
from keras import layers

from models.sizes import check_size
from trainer.config.types import BelowOne
from trainer.registry import models


@models.register("lenet")
def lenet(input_shape: tuple[int, int, int], num_classes: int, dropout: BelowOne = 0.0) -> keras.Model:
    """Build the modern LeNet-5: 61,706 parameters, 0.42 MMAC for images of 28 x 28 x 1 and 10 classes.

    After LeCun et al. 1998, "Gradient-based learning applied to document recognition", section II.B, with ReLU, max
    pooling and a fully connected C3, as is common today.

    Args:
        input_shape: Height, width and channels, at least 12 x 12.
        num_classes: Number of classes.
        dropout: Fraction of units dropped before each of the last two layers, from 0 to below 1.

    Returns:
        A model from images float32 `[N, H, W, C]` in [0, 1] to logits float32 `[N, num_classes]`.

    Raises:
        ValueError: If the images are too small or `dropout` is out of range.
    """
    check_size(input_shape, 12)
    images = keras.Input(input_shape, name="images")
    x = layers.Conv2D(6, 5, padding="same", activation="relu", name="c1")(images)
    x = layers.MaxPooling2D(name="s2")(x)
    x = layers.Conv2D(16, 5, activation="relu", name="c3")(x)
    x = layers.MaxPooling2D(name="s4")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(120, activation="relu", name="c5")(x)
    if dropout:
        x = layers.Dropout(dropout, name="dropout1")(x)
    x = layers.Dense(84, activation="relu", name="f6")(x)
    if dropout:
        x = layers.Dropout(dropout, name="dropout2")(x)
    logits = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(images, logits, name="lenet")
