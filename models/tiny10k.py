"""Seven thin convolutions with fewer than 10,000 parameters."""

from __future__ import annotations

import keras
from keras import layers

from models.sizes import check_size
from trainer.config.types import BelowOne
from trainer.registry import models


@models.register("tiny10k")
def tiny10k(input_shape: tuple[int, int, int], num_classes: int, dropout: BelowOne = 0.15) -> keras.Model:
    """Build a network of 9,980 trainable parameters, 2.43 MMAC for images of 28 x 28 x 1 and 10 classes.

    The last network of github.com/rahulsharma11/EVA_S5 (`S5f5.ipynb`, 2022): four padded convolutions with ReLU and
    batch normalisation, then three without either. Including the 116 batch-normalisation statistics, it has 10,096
    numbers.

    Args:
        input_shape: Height, width and channels, at least 28 x 28.
        num_classes: Number of classes.
        dropout: Fraction of units dropped after each pooling, from 0 to below 1.

    Returns:
        A model from images float32 `[N, H, W, C]` in [0, 1] to logits float32 `[N, num_classes]`.

    Raises:
        ValueError: If the images are too small or `dropout` is out of range.
    """
    check_size(input_shape, 28)
    images = keras.Input(input_shape, name="images")
    x = images
    for stage, pair in enumerate([(10, 20), (16, 12)], start=1):
        for letter, channels in zip("ab", pair, strict=True):
            x = layers.Conv2D(channels, 3, padding="same", activation="relu", name=f"conv{stage}{letter}")(x)
            x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"norm{stage}{letter}")(x)
        x = layers.MaxPooling2D(name=f"pool{stage}")(x)
        if dropout:
            x = layers.Dropout(dropout, name=f"dropout{stage}")(x)
    for letter, channels in zip("abc", (12, 10, num_classes), strict=True):
        x = layers.Conv2D(channels, 3, name=f"conv3{letter}")(x)
    logits = layers.GlobalAveragePooling2D(dtype="float32", name="logits")(x)  # over 1 x 1 for images of 28 x 28
    return keras.Model(images, logits, name="tiny10k")
