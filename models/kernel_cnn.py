"""Convolutions of one kernel size without pooling, with batch normalisation of the logits: M3, M5 and M7."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers

from models.sizes import check_size
from trainer.config.types import Positive
from trainer.registry import models


@models.register("m3")
def m3(input_shape: tuple[int, int, int], num_classes: int, width: Positive = 1.0) -> keras.Model:
    """Build ten convolutions of 3 x 3: 1,124,180 trainable parameters, 173 MMAC for 28 x 28 x 1 and 10 classes.

    An et al. 2020, "An Ensemble of Simple Convolutional Neural Network Models for MNIST Digit Recognition",
    arXiv 2008.10400; github.com/ansh941/MnistSimpleCNN.

    Args:
        input_shape: Height, width and channels, at least 21 x 21.
        num_classes: Number of classes.
        width: Multiplier of the number of channels; at 0.25 the cost is a sixteenth.

    Returns:
        A model from images float32 `[N, H, W, C]` in [0, 1] to logits float32 `[N, num_classes]`.

    Raises:
        ValueError: If the images are too small or `width` is out of range.
    """
    return _kernel_cnn("m3", input_shape, num_classes, 3, [width * (32 + 16 * k) for k in range(10)])


@models.register("m5")
def m5(input_shape: tuple[int, int, int], num_classes: int, width: Positive = 1.0) -> keras.Model:
    """Build five convolutions of 5 x 5: 1,128,180 trainable parameters, 137 MMAC for 28 x 28 x 1 and 10 classes.

    An et al. 2020, as `m3`.

    Args:
        input_shape: Height, width and channels, at least 21 x 21.
        num_classes: Number of classes.
        width: Multiplier of the number of channels; at 0.25 the cost is a sixteenth.

    Returns:
        A model from images float32 `[N, H, W, C]` in [0, 1] to logits float32 `[N, num_classes]`.

    Raises:
        ValueError: If the images are too small or `width` is out of range.
    """
    return _kernel_cnn("m5", input_shape, num_classes, 5, [width * 32 * k for k in range(1, 6)])


@models.register("m7")
def m7(input_shape: tuple[int, int, int], num_classes: int, width: Positive = 1.0) -> keras.Model:
    """Build four convolutions of 7 x 7: 2,291,972 trainable parameters, 148 MMAC for 28 x 28 x 1 and 10 classes.

    An et al. 2020, as `m3`.

    Args:
        input_shape: Height, width and channels, at least 25 x 25.
        num_classes: Number of classes.
        width: Multiplier of the number of channels; at 0.25 the cost is a sixteenth.

    Returns:
        A model from images float32 `[N, H, W, C]` in [0, 1] to logits float32 `[N, num_classes]`.

    Raises:
        ValueError: If the images are too small or `width` is out of range.
    """
    return _kernel_cnn("m7", input_shape, num_classes, 7, [width * 48 * k for k in range(1, 5)])


def _kernel_cnn(
    name: str, input_shape: tuple[int, int, int], num_classes: int, size: int, channels: Sequence[float]
) -> keras.Model:
    """Build one of the family, with the published code's constants for batch normalisation."""
    check_size(input_shape, 1 + len(channels) * (size - 1))
    images = keras.Input(input_shape, name="images")
    x = layers.Rescaling(2.0, offset=-1.0, name="range")(images)
    for number, count in enumerate(channels, start=1):
        x = layers.Conv2D(max(1, round(count)), size, use_bias=False, name=f"conv{number}")(x)
        x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"norm{number}")(x)
        x = layers.ReLU(name=f"relu{number}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(num_classes, use_bias=False, dtype="float32", name="dense")(x)
    logits = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, dtype="float32", name="logits")(x)
    return keras.Model(images, logits, name=name)
