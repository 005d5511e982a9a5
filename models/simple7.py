"""Seven convolutions with batch normalisation: high accuracy for the cost, published with 1,500 trained networks."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from models.sizes import check_size
from trainer.config.types import BelowOne, Count
from trainer.registry import models


@models.register("simple7")
def simple7(
    input_shape: tuple[int, int, int], num_classes: int, width: Count = 32, dropout: BelowOne = 0.4
) -> keras.Model:
    """Build the CNN of Deotte 2018: 326,410 trainable parameters, 15.2 MMAC for images of 28 x 28 x 1 and 10 classes.

    github.com/cdeotte/MNIST-CNN-99.75: three convolutions per stage, the third 5 x 5 with stride 2 instead of pooling,
    each followed by ReLU and then batch normalisation; finally one of 4 x 4. Including the 832 batch-normalisation
    statistics, it has 327,242 numbers.

    Args:
        input_shape: Height, width and channels, at least 25 x 25.
        num_classes: Number of classes.
        width: Channels of the first stage; the second has twice as many, the last convolution four times as many.
        dropout: Fraction of units dropped after each stage, from 0 to below 1.

    Returns:
        A model from images float32 `[N, H, W, C]` in [0, 1] to logits float32 `[N, num_classes]`.

    Raises:
        ValueError: If the images are too small or an argument is out of range.
    """
    check_size(input_shape, 25)
    images = keras.Input(input_shape, name="images")
    x = images
    for stage, channels in enumerate((width, 2 * width), start=1):
        x = _convolution(x, channels, 3, f"conv{stage}a")
        x = _convolution(x, channels, 3, f"conv{stage}b")
        x = _convolution(x, channels, 5, f"conv{stage}c", strides=2, padding="same")
        if dropout:
            x = layers.Dropout(dropout, name=f"dropout{stage}")(x)
    x = _convolution(x, 4 * width, 4, "conv3")
    x = layers.Flatten(name="flatten")(x)
    if dropout:
        x = layers.Dropout(dropout, name="dropout3")(x)
    logits = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(images, logits, name="simple7")


def _convolution(x: Any, channels: int, size: int, name: str, **kwargs: Any) -> Any:
    """Return convolution, ReLU and batch normalisation, in the source's order."""
    x = layers.Conv2D(channels, size, activation="relu", name=name, **kwargs)(x)
    return layers.BatchNormalization(name=f"{name}_norm")(x)
