"""A convolutional network built like a transformer: large depthwise kernels, then a dense layer at every position."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from models.sizes import check_size
from trainer.config.types import Count
from trainer.registry import models


@models.register("convnext_mini")
def convnext_mini(
    input_shape: tuple[int, int, int], num_classes: int, width: Count = 48, depth: Count = 3
) -> keras.Model:
    """Build a ConvNeXt of two stages: 321,658 parameters, 24.7 MMAC for images of 28 x 28 x 1 and 10 classes.

    Liu et al. 2022, "A ConvNet for the 2020s", arXiv 2201.03545, figure 4 and section 2, with patches of 2 x 2 for
    small images.

    Args:
        input_shape: Height, width and channels, at least 4 x 4.
        num_classes: Number of classes.
        width: Channels of the first stage; the second has twice as many at half the height and width.
        depth: Blocks in each stage.

    Returns:
        A model from images float32 `[N, H, W, C]` in [0, 1] to logits float32 `[N, num_classes]`.

    Raises:
        ValueError: If the images are too small or an argument is out of range.
    """
    check_size(input_shape, 4)
    images = keras.Input(input_shape, name="images")
    x = layers.Conv2D(width, 2, strides=2, name="patches")(images)
    x = _normalised(x, "patches_norm")
    for block in range(1, depth + 1):
        x = _block(x, f"stage1_block{block}")
    x = _normalised(x, "downsample_norm")
    x = layers.Conv2D(2 * width, 2, strides=2, name="downsample")(x)
    for block in range(1, depth + 1):
        x = _block(x, f"stage2_block{block}")
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    x = _normalised(x, "norm")
    logits = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(images, logits, name="convnext_mini")


def _block(x: Any, name: str) -> Any:
    """Return `x` plus a depthwise 7 x 7 convolution followed by a perceptron at every position."""
    channels = x.shape[-1]
    y = layers.DepthwiseConv2D(7, padding="same", name=f"{name}_depthwise")(x)
    y = _normalised(y, f"{name}_norm")
    y = layers.Dense(4 * channels, activation="gelu", name=f"{name}_expand")(y)
    y = layers.Dense(channels, name=f"{name}_project")(y)
    y = LayerScale(name=f"{name}_scale")(y)
    return layers.Add(name=f"{name}_add")([x, y])


def _normalised(x: Any, name: str) -> Any:
    return layers.LayerNormalization(epsilon=1e-6, name=name)(x)


@keras.saving.register_keras_serializable("inkwell")
class LayerScale(layers.Layer):
    """A trainable factor per channel, `[N, …, C]` to the same shape.

    It starts at 0.1, as Touvron et al. 2021 (arXiv 2103.17239, section 2) recommend for networks of up to 18 blocks.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the factors, `[C]`."""
        self.scale = self.add_weight(
            shape=(input_shape[-1],), initializer=keras.initializers.Constant(0.1), name="scale"
        )

    def call(self, inputs: Any) -> Any:
        """Return the scaled `inputs`."""
        return inputs * self.scale
