"""The residual network for small images: three stages of 3 x 3 convolution pairs with shortcuts."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from trainer.config.types import Count
from trainer.registry import models


@models.register("resnet20")
def resnet20(input_shape: tuple[int, int, int], num_classes: int, width: Count = 16, depth: Count = 20) -> keras.Model:
    """Build ResNet-20: 271,994 trainable parameters, 31.0 MMAC for images of 28 x 28 x 1 and 10 classes.

    He et al. 2015, "Deep Residual Learning for Image Recognition", arXiv 1512.03385, section 4.2 (CIFAR-10), with
    projections (option B) where the size changes.

    Args:
        input_shape: Height, width and channels.
        num_classes: Number of classes.
        width: Channels of the first stage; each further stage has twice as many at half the height and width.
        depth: Number of layers with weights on the longest path, 6n + 2: 8, 14, 20, 32, 44, 56 …

    Returns:
        A model from images float32 `[N, H, W, C]` in [0, 1] to logits float32 `[N, num_classes]`.

    Raises:
        ValueError: If `depth` is not of the form 6n + 2 or `width` is out of range.
    """
    blocks, rest = divmod(depth - 2, 6)
    if rest or blocks < 1:
        raise ValueError(f"a ResNet for small images has 6n + 2 layers (8, 14, 20, 32 …), not depth={depth}")
    images = keras.Input(input_shape, name="images")
    x = _normalised(images, width, 1, "stem")
    x = layers.ReLU(name="stem_relu")(x)
    for stage in range(3):
        for block in range(blocks):
            strides = 2 if stage and not block else 1
            x = _block(x, width * 2**stage, strides, f"stage{stage + 1}_block{block + 1}")
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    logits = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(images, logits, name="resnet20")


def _block(x: Any, channels: int, strides: int, name: str) -> Any:
    """Return two convolutions plus their input, projected where the shape changes."""
    shortcut = x
    if strides > 1:
        shortcut = layers.Conv2D(channels, 1, strides=strides, use_bias=False, name=f"{name}_project")(x)
    x = _normalised(x, channels, strides, f"{name}_a")
    x = layers.ReLU(name=f"{name}_a_relu")(x)
    x = _normalised(x, channels, 1, f"{name}_b")
    x = layers.Add(name=f"{name}_add")([x, shortcut])
    return layers.ReLU(name=f"{name}_relu")(x)


def _normalised(x: Any, channels: int, strides: int, name: str) -> Any:
    """Return a 3 x 3 convolution with batch normalisation."""
    x = layers.Conv2D(
        channels, 3, strides, padding="same", use_bias=False, kernel_initializer="he_normal", name=f"{name}_conv"
    )(x)
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_norm")(x)
