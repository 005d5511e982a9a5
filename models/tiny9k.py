"""A network of fewer than 10,000 numbers, designed for speed on two CPU cores."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from models.sizes import check_size
from trainer.config.types import BelowOne, Count
from trainer.registry import models


@models.register("tiny9k")
def tiny9k(
    input_shape: tuple[int, int, int], num_classes: int, width: Count = 16, dropout: BelowOne = 0.0
) -> keras.Model:
    """Build Inkwell's own tiny network: 9,722 trainable parameters, 1.02 MMAC for images of 28 x 28 x 1 and 10 classes.

    Including the 144 batch-normalisation statistics, it has 9,866 numbers. Time is spent on feature maps rather than
    parameters: the first convolution is pooled before any other layer, and normalisation, which is slow on a CPU, comes
    after pooling. Convolutions are full, since depthwise ones save parameters but no time. At the end, a weight per
    position and channel replaces the mean, so that the last layer knows where a stroke is (global depthwise
    convolution, Chen et al. 2018, "MobileFaceNets", arXiv 1804.07573).

    Args:
        input_shape: Height, width and channels, at least 8 x 8.
        num_classes: Number of classes.
        width: Channels of the first three convolutions; the fourth has half as many again.
        dropout: Fraction of units dropped before the last layer, from 0 to below 1.

    Returns:
        A model from images float32 `[N, H, W, C]` in [0, 1] to logits float32 `[N, num_classes]`.

    Raises:
        ValueError: If the images are too small or an argument is out of range.
    """
    check_size(input_shape, 8)
    images = keras.Input(input_shape, name="images")
    x = _convolution(images, width, 5, "conv1", pool=True, padding="valid")
    x = _convolution(x, width, 3, "conv2")
    x = _convolution(x, width, 3, "conv3", pool=True)
    x = _convolution(x, width + width // 2, 3, "conv4")
    x = layers.DepthwiseConv2D(x.shape[1:3], use_bias=False, name="places")(x)
    x = layers.Flatten(name="flatten")(x)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    logits = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(images, logits, name="tiny9k")


def _convolution(x: Any, channels: int, size: int, name: str, pool: bool = False, padding: str = "same") -> Any:
    """Return a convolution, optionally pooled, with batch normalisation and ReLU."""
    x = layers.Conv2D(channels, size, padding=padding, use_bias=False, name=name)(x)
    if pool:
        x = layers.MaxPooling2D(name=f"{name}_pool")(x)
    # the smallest epsilon that the fused operation accepts; see trainer.kernels.normalisation
    x = layers.BatchNormalization(momentum=0.9, epsilon=1.001e-5, name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x)
