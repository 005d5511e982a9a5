"""The small convnet of the Keras tutorial."""

from __future__ import annotations

import keras
from keras import layers

from models.sizes import check_size
from trainer.config.types import BelowOne
from trainer.registry import models


@models.register("simple_cnn")
def simple_cnn(input_shape: tuple[int, int, int], num_classes: int, dropout: BelowOne = 0.5) -> keras.Model:
    """Build the "Simple MNIST convnet": 34,826 parameters, 2.44 MMAC for images of 28 x 28 x 1 and 10 classes.

    After Chollet 2015, keras.io/examples/vision/mnist_convnet.

    Args:
        input_shape: Height, width and channels, at least 10 x 10.
        num_classes: Number of classes.
        dropout: Fraction of units dropped before the last layer, from 0 to below 1.

    Returns:
        A model from images float32 `[N, H, W, C]` in [0, 1] to logits float32 `[N, num_classes]`.

    Raises:
        ValueError: If the images are too small or `dropout` is out of range.
    """
    check_size(input_shape, 10)
    images = keras.Input(input_shape, name="images")
    x = layers.Conv2D(32, 3, activation="relu", name="conv1")(images)
    x = layers.MaxPooling2D(name="pool1")(x)
    x = layers.Conv2D(64, 3, activation="relu", name="conv2")(x)
    x = layers.MaxPooling2D(name="pool2")(x)
    x = layers.Flatten(name="flatten")(x)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    logits = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(images, logits, name="simple_cnn")
