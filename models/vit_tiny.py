"""A vision transformer for small images: every patch of 4 x 4 pixels is a token."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from models.sizes import check_size
from trainer.config.types import BelowOne, Count
from trainer.registry import models


@models.register("vit_tiny")
def vit_tiny(
    input_shape: tuple[int, int, int],
    num_classes: int,
    patch: Count = 4,
    width: Count = 64,
    depth: Count = 6,
    heads: Count = 4,
    dropout: BelowOne = 0.0,
) -> keras.Model:
    """Build a vision transformer: 205,834 parameters, 11.5 MMAC for images of 28 x 28 x 1 and 10 classes.

    Dosovitskiy et al. 2020, "An Image is Worth 16x16 Words", arXiv 2010.11929, section 3.1 and figure 1; the mean of
    the tokens replaces the class token (appendix D.3).

    Args:
        input_shape: Height, width and channels, at least one patch; an incomplete last patch is cropped.
        num_classes: Number of classes.
        patch: Side of a patch in pixels.
        width: Dimension of a token, a multiple of `heads`.
        depth: Number of blocks of attention and perceptron.
        heads: Number of attention heads.
        dropout: Fraction of units dropped in every block, from 0 to below 1.

    Returns:
        A model from images float32 `[N, H, W, C]` in [0, 1] to logits float32 `[N, num_classes]`.

    Raises:
        ValueError: If the images are smaller than a patch, `width` is not a multiple of `heads`, or an argument is out
            of range.
    """
    if width % heads:
        raise ValueError(f"width={width} is not a multiple of heads={heads}")
    check_size(input_shape, patch)
    images = keras.Input(input_shape, name="images")
    x = layers.Conv2D(width, patch, strides=patch, name="patches")(images)
    x = layers.Reshape((-1, width), name="tokens")(x)
    x = PositionEmbedding(name="positions")(x)
    for number in range(1, depth + 1):
        x = _block(x, heads, dropout, f"block{number}")
    x = layers.LayerNormalization(epsilon=1e-6, name="norm")(x)
    x = layers.GlobalAveragePooling1D(name="mean")(x)
    logits = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(images, logits, name="vit_tiny")


def _block(x: Any, heads: int, dropout: float, name: str) -> Any:
    """Return `x` plus attention, plus a perceptron at every token, both applied to normalised tokens."""
    width = x.shape[-1]
    y = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_attention_norm")(x)
    y = layers.MultiHeadAttention(heads, width // heads, dropout=dropout, name=f"{name}_attention")(y, y)
    x = layers.Add(name=f"{name}_attention_add")([x, y])
    y = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_mlp_norm")(x)
    y = layers.Dense(2 * width, activation="gelu", name=f"{name}_expand")(y)
    y = layers.Dense(width, name=f"{name}_project")(y)
    if dropout:
        y = layers.Dropout(dropout, name=f"{name}_dropout")(y)
    return layers.Add(name=f"{name}_mlp_add")([x, y])


@keras.saving.register_keras_serializable("inkwell")
class PositionEmbedding(layers.Layer):
    """Adds a trainable position vector to every token, `[N, tokens, width]` to the same shape."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the vectors, `[tokens, width]`."""
        initializer = keras.initializers.TruncatedNormal(stddev=0.02)
        self.vectors = self.add_weight(shape=input_shape[1:], initializer=initializer, name="vectors")

    def call(self, inputs: Any) -> Any:
        """Return `inputs` plus the position vectors."""
        return inputs + self.vectors
