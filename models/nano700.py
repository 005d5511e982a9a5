"""A network with fewer than 700 parameters: four thin separable convolutions."""

from __future__ import annotations

import keras
from keras import layers

from models.sizes import check_size
from trainer.config.types import BelowOne
from trainer.registry import models


@models.register("nano700")
def nano700(input_shape: tuple[int, int, int], num_classes: int, dropout: BelowOne = 0.05) -> keras.Model:
    """Build a network of 697 parameters, 0.08 MMAC for images of 28 x 28 x 1 and 10 classes.

    The smallest network of github.com/JoshWarn/Parameter-Efficient-MNIST (2023).

    Args:
        input_shape: Height, width and channels, at least 18 x 18.
        num_classes: Number of classes.
        dropout: Fraction of units dropped after each separable convolution, from 0 to below 1.

    Returns:
        A model from images float32 `[N, H, W, C]` in [0, 1] to logits float32 `[N, num_classes]`.

    Raises:
        ValueError: If the images are too small or `dropout` is out of range.
    """
    check_size(input_shape, 18)
    images = keras.Input(input_shape, name="images")
    x = layers.Conv2D(6, 3, padding="same", name="conv")(images)
    x = layers.LeakyReLU(0.2, name="conv_relu")(x)
    x = layers.MaxPooling2D(name="pool")(x)
    for number, channels in enumerate((5, 9, 10, 8), start=1):
        x = layers.SeparableConv2D(channels, 3, name=f"separable{number}")(x)
        x = layers.LeakyReLU(0.2, name=f"separable{number}_relu")(x)
        if dropout:
            x = layers.Dropout(dropout, name=f"dropout{number}")(x)
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    logits = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(images, logits, name="nano700")
