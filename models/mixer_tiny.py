"""Perceptrons alone, alternating over the positions of an image and over its channels: a small MLP-Mixer."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from models.sizes import check_size
from trainer.config.types import Count
from trainer.registry import models


@models.register("mixer_tiny")
def mixer_tiny(
    input_shape: tuple[int, int, int], num_classes: int, patch: Count = 4, width: Count = 64, depth: Count = 4
) -> keras.Model:
    """Build a small MLP-Mixer: 148,110 parameters, 7.28 MMAC for images of 28 x 28 x 1 and 10 classes.

    Tolstikhin et al. 2021, "MLP-Mixer: An all-MLP Architecture for Vision", arXiv 2105.01601, figure 1; the hidden
    layers have half and four times the width, as in its table 1.

    Args:
        input_shape: Height, width and channels, at least one patch; an incomplete last patch is cropped.
        num_classes: Number of classes.
        patch: Side of a patch in pixels.
        width: Dimension of a token, at least 2.
        depth: Pairs of perceptrons.

    Returns:
        A model from images float32 `[N, H, W, C]` in [0, 1] to logits float32 `[N, num_classes]`.

    Raises:
        ValueError: If the images are smaller than a patch or an argument is out of range.
    """
    check_size(input_shape, patch)
    images = keras.Input(input_shape, name="images")
    x = layers.Conv2D(width, patch, strides=patch, name="patches")(images)
    x = layers.Reshape((-1, width), name="tokens")(x)
    for number in range(1, depth + 1):
        x = _mix_places(x, width // 2, f"places{number}")
        x = _mix_channels(x, 4 * width, f"channels{number}")
    x = layers.LayerNormalization(epsilon=1e-6, name="norm")(x)
    x = layers.GlobalAveragePooling1D(name="mean")(x)
    logits = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(images, logits, name="mixer_tiny")


def _mix_places(x: Any, hidden: int, name: str) -> Any:
    """Return `x` plus a perceptron over the positions, shared by all channels."""
    y = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm")(x)
    y = layers.Permute((2, 1), name=f"{name}_turn")(y)
    y = _perceptron(y, hidden, name)
    y = layers.Permute((2, 1), name=f"{name}_return")(y)
    return layers.Add(name=f"{name}_add")([x, y])


def _mix_channels(x: Any, hidden: int, name: str) -> Any:
    """Return `x` plus a perceptron over the channels, shared by all positions."""
    y = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm")(x)
    return layers.Add(name=f"{name}_add")([x, _perceptron(y, hidden, name)])


def _perceptron(x: Any, hidden: int, name: str) -> Any:
    y = layers.Dense(hidden, activation="gelu", name=f"{name}_expand")(x)
    return layers.Dense(x.shape[-1], name=f"{name}_project")(y)
