"""A small network that reaches 99 % on MNIST after one epoch, in under a second on a laptop's GPU."""

from __future__ import annotations

import keras
from keras import layers

from models.sizes import check_size
from trainer.config.types import BelowOne, Count
from trainer.registry import models


@models.register("speed24")
def speed24(
    input_shape: tuple[int, int, int], num_classes: int, units: Count = 256, dropout: BelowOne = 0.0
) -> keras.Model:
    """Build the one-epoch network: 215,194 parameters, 1.24 MMAC for images of 28 x 28 x 1 and 10 classes.

    The final network of github.com/tuomaso/train_mnist_fast (2020): 24 kernels of 5 x 5, 32 of 3 x 3, 256 units.
    Pooling comes before the ReLU, which gives the same result with a quarter of the work.

    Args:
        input_shape: Height, width and channels, at least 12 x 12.
        num_classes: Number of classes.
        units: Width of the hidden layer.
        dropout: Fraction of units dropped before the last layer, from 0 to below 1; the source uses none.

    Returns:
        A model from images float32 `[N, H, W, C]` in [0, 1] to logits float32 `[N, num_classes]`.

    Raises:
        ValueError: If the images are too small or an argument is out of range.
    """
    check_size(input_shape, 12)
    images = keras.Input(input_shape, name="images")
    x = layers.Conv2D(24, 5, name="conv1")(images)
    x = layers.MaxPooling2D(name="pool1")(x)
    x = layers.ReLU(name="relu1")(x)
    x = layers.Conv2D(32, 3, name="conv2")(x)
    x = layers.MaxPooling2D(name="pool2")(x)
    x = layers.ReLU(name="relu2")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(units, activation="relu", name="hidden")(x)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    logits = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(images, logits, name="speed24")
