"""Pairs of convolutions with batch normalisation and pooling: the MNIST example of tinygrad."""

from __future__ import annotations

import keras
from keras import layers

from models.sizes import check_size
from trainer.config.types import Count
from trainer.registry import models


@models.register("beautiful")
def beautiful(input_shape: tuple[int, int, int], num_classes: int, width: Count = 32) -> keras.Model:
    """Build tinygrad's "beautiful MNIST": 87,850 trainable parameters, 13.2 MMAC for 28 x 28 x 1 and 10 classes.

    After github.com/tinygrad/tinygrad, `examples/beautiful_mnist.py` (2023).

    Args:
        input_shape: Height, width and channels, at least 20 x 20.
        num_classes: Number of classes.
        width: Channels of the first stage; the second has twice as many.

    Returns:
        A model from images float32 `[N, H, W, C]` in [0, 1] to logits float32 `[N, num_classes]`.

    Raises:
        ValueError: If the images are too small or `width` is out of range.
    """
    check_size(input_shape, 20)
    images = keras.Input(input_shape, name="images")
    x = images
    for stage, (channels, size) in enumerate([(width, 5), (2 * width, 3)], start=1):
        x = layers.Conv2D(channels, size, activation="relu", name=f"conv{stage}a")(x)
        x = layers.Conv2D(channels, size, activation="relu", name=f"conv{stage}b")(x)
        x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"norm{stage}")(x)
        x = layers.MaxPooling2D(name=f"pool{stage}")(x)
    x = layers.Flatten(name="flatten")(x)
    logits = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(images, logits, name="beautiful")
