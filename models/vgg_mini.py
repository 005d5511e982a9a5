"""Two stages of VGG: pairs of 3 x 3 convolutions, pooling, and one wide dense layer."""

from __future__ import annotations

import keras
from keras import layers

from models.sizes import check_size
from trainer.config.types import BelowOne, Count
from trainer.registry import models


@models.register("vgg_mini")
def vgg_mini(
    input_shape: tuple[int, int, int],
    num_classes: int,
    width: Count = 32,
    units: Count = 512,
    dropout: BelowOne = 0.3,
) -> keras.Model:
    """Build a small VGG: 598,250 trainable parameters, 10.2 MMAC for images of 28 x 28 x 1 and 10 classes.

    The network of github.com/j05t/mnist (2018), after Simonyan and Zisserman 2014, arXiv 1409.1556, with leaky ReLU and
    with batch normalisation before every layer but the first.

    Args:
        input_shape: Height, width and channels, at least 16 x 16.
        num_classes: Number of classes.
        width: Channels of the first stage; the second has twice as many.
        units: Width of the hidden layer.
        dropout: Fraction of units dropped before the last layer, from 0 to below 1.

    Returns:
        A model from images float32 `[N, H, W, C]` in [0, 1] to logits float32 `[N, num_classes]`.

    Raises:
        ValueError: If the images are too small or an argument is out of range.
    """
    check_size(input_shape, 16)
    images = keras.Input(input_shape, name="images")
    x = images
    for stage, channels in enumerate((width, 2 * width), start=1):
        x = layers.Conv2D(channels, 3, name=f"conv{stage}a")(x)
        x = layers.LeakyReLU(0.3, name=f"relu{stage}a")(x)
        x = layers.BatchNormalization(name=f"norm{stage}a")(x)
        x = layers.Conv2D(channels, 3, name=f"conv{stage}b")(x)
        x = layers.LeakyReLU(0.3, name=f"relu{stage}b")(x)
        x = layers.MaxPooling2D(name=f"pool{stage}")(x)
        if stage == 2:
            x = layers.Flatten(name="flatten")(x)
        x = layers.BatchNormalization(name=f"norm{stage}b")(x)
    x = layers.Dense(units, name="hidden")(x)
    x = layers.LeakyReLU(0.3, name="relu3")(x)
    x = layers.BatchNormalization(name="norm3")(x)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    logits = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(images, logits, name="vgg_mini")
